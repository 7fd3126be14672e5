"""The network to the arm: route, cable, round trip, and the port that libfranka commands through.

libfranka's documentation: the round trip and the computing have 1 ms together, the cable goes from this machine straight to the LAN port of
Control (not of the Arm), 100 Mb/s are required and 1 Gb/s recommended. Commands go to TCP port 1337, which answers when FCI is active.
"""

from __future__ import annotations

import ipaddress
import re

from dextrack_deploy.doctor.case import Case
from dextrack_deploy.doctor.finding import Finding, note, ok, problem, warning
from dextrack_deploy.doctor.system import System

COMMAND_PORT = 1337
"""libfranka: research_interface::robot::kCommandPort."""
ROUND_TRIP_MS = 1.0
"""At and above this no time is left to compute anything."""
GOOD_ROUND_TRIP_MS = 0.5
"""Below this about half a millisecond is left."""
_ROUTE_UP, _ROUTE_GATEWAY, _ROUTE_REJECT = 0x1, 0x2, 0x200
_ESTABLISHED = "01"
_CABLE = (
    "connect this machine straight to the LAN port of Control (not of the Arm) by cable; libfranka's example gives it 172.16.0.1/24 and Control 172.16.0.2."
)
_DESK = "open Desk (https://ADDRESS), release the brakes, activate FCI and keep it active; `ping ADDRESS` says whether the cable and address are right."


def check(system: System, case: Case, port: int = COMMAND_PORT) -> list[Finding]:
    """Everything between this machine and ``case.host``; ``port`` is another one in tests alone."""
    if case.host is None:
        if not case.needs_arm:
            return [note("arm", f"not looked for: the cell {case.cell} needs none. --arm ADDRESS looks for one.")]
        return [problem("arm", f"no address was given, so the network of arm driver {case.arm} was not examined.", "run again with --arm ADDRESS.")]
    address = case.host if _is_address(case.host) else system.resolve(case.host)
    if address is None:
        return [problem("arm", f"the name {case.host!r} leads to no IPv4 address.", "give the address itself, as --arm 172.16.0.2.")]
    interface, gateway = route(system, address)
    if interface is None:
        return [problem("arm route", f"no network of this machine leads to {address}.", _CABLE)]
    findings = [_route(address, interface, gateway)]
    if interface != "lo":
        findings.append(_cable(system, interface))
    return [*findings, _ping(system, address), _command_port(system, address, port)]


def route(system: System, address: str) -> tuple[str | None, str | None]:
    """Interface and gateway through which the kernel reaches ``address``: the most special entry of /proc/net/route. None: there is none."""
    wanted = int(ipaddress.IPv4Address(address))
    if ipaddress.IPv4Address(address).is_loopback:
        return "lo", None
    best: tuple[int, int, str, str | None] | None = None
    for line in (system.text("/proc/net/route") or "").splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8:
            continue
        destination, via, mask = (_little_endian(fields[k]) for k in (1, 2, 7))
        flags, metric = int(fields[3], 16), int(fields[6])
        if flags & _ROUTE_UP and not flags & _ROUTE_REJECT and wanted & mask == destination:
            gateway = str(ipaddress.IPv4Address(via)) if flags & _ROUTE_GATEWAY else None
            if best is None or (mask, -metric) > best[:2]:
                best = (mask, -metric, fields[0], gateway)
    return (None, None) if best is None else best[2:]


def _is_address(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _little_endian(text: str) -> int:
    """An address as /proc/net/route writes it."""
    return int.from_bytes(bytes.fromhex(text), "little")


def _route(address: str, interface: str, gateway: str | None) -> Finding:
    """Whether the arm is a neighbour."""
    if gateway is None:
        return ok("arm route", f"{address} is a neighbour on {interface}.")
    return warning("arm route", f"{address} is reached through {gateway} on {interface}: every relay delays.", _CABLE)


def _cable(system: System, interface: str) -> Finding:
    """Kind, state and speed of the interface."""
    folder = f"/sys/class/net/{interface}"
    if system.exists(f"{folder}/wireless") or system.exists(f"{folder}/phy80211"):
        return problem("arm cable", f"{interface} is wireless: packets come late.", _CABLE)
    if system.text(f"{folder}/carrier") == "0":
        return problem("arm cable", f"{interface} has no link.", "plug the cable in at both ends, and switch Control on.")
    speed = system.number(f"{folder}/speed")
    if speed is None or speed <= 0:
        return note("arm cable", f"{interface} does not tell its speed (a virtual interface?).")
    if speed < 100:
        return problem("arm cable", f"{interface} runs at {speed} Mb/s; libfranka requires 100.", "take another cable, port or network card.")
    if speed < 1000:
        return warning("arm cable", f"{interface} runs at {speed} Mb/s; 1000 are recommended.", "take another cable (cat 5e or better), port or network card.")
    return ok("arm cable", f"{interface} runs at {speed} Mb/s.")


def _ping(system: System, address: str) -> Finding:
    """Round trip of ten packets as large as those of the arm."""
    ran = system.run(("ping", "-n", "-q", "-c", "10", "-i", "0.2", "-s", "1200", "-w", "3", address), 3.5)
    if ran is None:
        return note("arm round trip", "not measured: there is no `ping` here, or it hung.", "`sudo apt install iputils-ping`.")
    lost, times = re.search(r"([\d.]+)% packet loss", ran.output), re.search(r"= [\d.]+/([\d.]+)/([\d.]+)", ran.output)
    if lost is None:
        return note("arm round trip", f"`ping` said something unknown: {(ran.errors or ran.output).strip()[:100]!r}.")
    if times is None:
        return problem("arm round trip", f"{address} answers no ping.", _DESK.replace("ADDRESS", address))
    mean, worst = float(times.group(1)), float(times.group(2))
    told = f"{mean:.2f} ms, at worst {worst:.2f} ms of 10"
    if float(lost.group(1)) > 0.0:
        return problem("arm round trip", f"{lost.group(1)} % of the packets were lost ({told}).", _CABLE)
    if worst >= ROUND_TRIP_MS:
        return problem("arm round trip", f"{told}: nothing is left of the arm's 1 ms.", _CABLE)
    if worst >= GOOD_ROUND_TRIP_MS:
        return warning("arm round trip", f"{told}: little is left of the arm's 1 ms.", _CABLE)
    return ok("arm round trip", f"{told}.")


def _command_port(system: System, address: str, port: int) -> Finding:
    """Whether the arm listens for a program. Where one is connected already, it is left alone."""
    if _is_connected(system, address, port):
        return warning("arm commands", f"another program on this machine is connected to {address}:{port}.", "end it before a trial; an arm obeys one program.")
    try:
        seconds = system.connect(address, port, 2.0)
    except OSError as error:
        what = f"{address} does not take connections on port {port} ({error.strerror or error})."
        return problem("arm commands", what, _DESK.replace("ADDRESS", address))
    return ok("arm commands", f"port {port} answers after {seconds * 1e3:.1f} ms.")


def _is_connected(system: System, address: str, port: int) -> bool:
    """Whether /proc/net/tcp has an established connection to there."""
    wanted = f"{int.from_bytes(ipaddress.IPv4Address(address).packed, 'little'):08X}:{port:04X}"
    for line in (system.text("/proc/net/tcp") or "").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 3 and fields[2] == wanted and fields[3] == _ESTABLISHED:
            return True
    return False
