"""The way to the arm, on made-up routes, and a real socket for the port that it is commanded through."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator

import pytest
from dextrack_deploy.doctor import Level, network
from dextrack_deploy.doctor.system import Ran, System

PING = "10 packets transmitted, {got} received, {lost}% packet loss, time 1842ms\nrtt min/avg/max/mdev = 0.1/{mean}/{worst}/0.03 ms\n"


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_good_way(machine, lab, named) -> None:
    findings = network.check(machine.system, lab)
    assert [(f.name, f.level) for f in findings] == [(n, Level.OK) for n in ("arm route", "arm cable", "arm round trip", "arm commands")]
    assert named(findings, "arm route").what == "172.16.0.2 is a neighbour on enp3s0."
    assert named(findings, "arm round trip").what == "0.14 ms, at worst 0.21 ms of 10."
    assert "port 1337 answers" in named(findings, "arm commands").what


def test_no_address(machine, lab, twin) -> None:
    (finding,) = network.check(machine.system, dataclasses.replace(lab, host=None))
    assert finding.level is Level.PROBLEM and "--arm" in finding.remedy
    (finding,) = network.check(machine.system, twin)
    assert finding.level is Level.NOTE


def test_an_address_makes_an_arm_needed(machine, twin, named) -> None:
    machine.fields["connect"] = _refuse
    assert named(network.check(machine.system, dataclasses.replace(twin, host="172.16.0.2")), "arm commands").level is Level.PROBLEM


def _refuse(address, port, timeout_s):
    raise ConnectionRefusedError(111, "Connection refused")


def test_names(machine, lab, named) -> None:
    machine.fields["resolve"] = {"control.lab": "172.16.0.2"}.get
    assert "172.16.0.2" in named(network.check(machine.system, dataclasses.replace(lab, host="control.lab")), "arm route").what
    (finding,) = network.check(machine.system, dataclasses.replace(lab, host="nobody.lab"))
    assert finding.level is Level.PROBLEM and "nobody.lab" in finding.what


@pytest.mark.parametrize(
    "address, expected",
    [
        ("172.16.0.2", ("enp3s0", None)),
        ("172.16.1.2", ("eno1", "192.0.2.1")),  # one network further: the default route
        ("127.0.0.1", ("lo", None)),
    ],
)
def test_routes(machine, address, expected) -> None:
    assert network.route(machine.system, address) == expected


def test_the_more_special_and_cheaper_route_wins_and_a_closed_one_does_not(machine) -> None:
    text = (machine.at("/proc/net/route")).read_text()
    machine.write(
        "/proc/net/route", text + "wlan0\t000010AC\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0\nbad\t020010AC\t00000000\t0201\t0\t0\t0\tFFFFFFFF\t0\t0\t0"
    )
    assert network.route(machine.system, "172.16.0.2") == ("enp3s0", None)


def test_no_route_and_a_route_through_a_gateway(machine, lab, bare, named) -> None:
    (finding,) = network.check(bare, lab)
    assert finding.level is Level.PROBLEM and "LAN port of Control" in finding.remedy
    finding = named(network.check(machine.system, dataclasses.replace(lab, host="10.0.0.2")), "arm route")
    assert finding.level is Level.WARNING and "192.0.2.1" in finding.what


@pytest.mark.parametrize(
    "path, text, level",
    [
        ("speed", "10", Level.PROBLEM),
        ("speed", "100", Level.WARNING),
        ("speed", "2500", Level.OK),
        ("speed", "-1", Level.NOTE),
        ("carrier", "0", Level.PROBLEM),
        ("wireless/status", "0", Level.PROBLEM),
        ("phy80211/index", "0", Level.PROBLEM),
    ],
)
def test_cables(machine, lab, named, path, text, level) -> None:
    machine.write(f"/sys/class/net/enp3s0/{path}", text)
    assert named(network.check(machine.system, lab), "arm cable").level is level


@pytest.mark.parametrize(
    "ran, level, said",
    [
        (Ran(0, PING.format(got=10, lost=0, mean="0.2", worst="0.49")), Level.OK, "0.20 ms"),
        (Ran(0, PING.format(got=10, lost=0, mean="0.2", worst="0.50")), Level.WARNING, "little is left"),
        (Ran(0, PING.format(got=10, lost=0, mean="0.2", worst="1.00")), Level.PROBLEM, "nothing is left"),
        (Ran(0, PING.format(got=9, lost=10, mean="0.2", worst="0.30")), Level.PROBLEM, "10 % of the packets were lost"),
        (Ran(1, "10 packets transmitted, 0 received, 100% packet loss, time 9000ms\n"), Level.PROBLEM, "answers no ping"),
        (Ran(2, "", "ping: socket: Operation not permitted"), Level.NOTE, "Operation not permitted"),
        (None, Level.NOTE, "not measured"),
    ],
)
def test_round_trips(machine, lab, named, ran, level, said) -> None:
    machine.commands["ping"] = ran
    finding = named(network.check(machine.system, lab), "arm round trip")
    assert finding.level is level and said in finding.what


def test_a_real_port_that_listens_and_one_that_does_not(twin, named, listening) -> None:
    here = System(run=lambda command, timeout_s: None)
    case = dataclasses.replace(twin, host="127.0.0.1")
    port = listening.getsockname()[1]
    assert named(network.check(here, case, port=port), "arm commands").level is Level.OK
    listening.close()
    finding = named(network.check(here, case, port=port), "arm commands")
    assert finding.level is Level.PROBLEM and "refused" in finding.what and "https://127.0.0.1" in finding.remedy and "activate FCI" in finding.remedy


def test_an_arm_that_another_program_commands_is_left_alone(twin, named, listening) -> None:
    address, port = listening.getsockname()
    with socket.create_connection((address, port)), listening.accept()[0]:
        finding = named(network.check(System(run=lambda c, t: None), dataclasses.replace(twin, host=address), port=port), "arm commands")
        assert finding.level is Level.WARNING and "another program" in finding.what
        listening.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listening.accept()  # nobody knocked
