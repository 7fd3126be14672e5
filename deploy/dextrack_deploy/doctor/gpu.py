"""The GPU: its driver, and whether the installed torch can use it. The twin, mining and retargeting run without one."""

from __future__ import annotations

import re

from dextrack_deploy.doctor.case import Case
from dextrack_deploy.doctor.finding import Finding, note, ok, warning
from dextrack_deploy.doctor.system import System

_QUERY = ("nvidia-smi", "--query-gpu=name,driver_version,memory.free,memory.total", "--format=csv,noheader,nounits")


def check(system: System, case: Case) -> list[Finding]:
    """Driver, then torch."""
    cards = [p for p in system.matches("/sys/bus/pci/devices/*/vendor") if system.text(p) == "0x10de" and _is_display(system, p)]
    ran = system.run(_QUERY, 3.0)
    if ran is None or ran.code or not ran.output.strip():
        if cards or system.exists("/proc/driver/nvidia/version"):
            said = "" if ran is None else f" ({(ran.output + ran.errors).strip().splitlines()[:1] or ['no reason given']})"
            what = f"an NVIDIA GPU is there, and nvidia-smi does not answer{said}."
            remedy = "install the driver that fits the kernel and reboot; NVIDIA does not support real-time kernels officially (IGNORE_PREEMPT_RT_PRESENCE=1)."
            return [warning("GPU", what, remedy)]
        return [note("GPU", "none. The twin, retargeting, mining and replay need none; pose estimators with neural networks do.")]
    findings = []
    for line in ran.output.strip().splitlines():
        name, driver, free, total = (part.strip() for part in (line.split(",") + ["", "", "", ""])[:4])
        findings.append(ok("GPU", f"{name}, driver {driver}, {free} of {total} MiB free."))
    return [*findings, _torch(system)]


def _is_display(system: System, vendor: str) -> bool:
    """Whether a PCI device is a display or 3D controller: class 03."""
    return (system.text(vendor.rsplit("/", 1)[0] + "/class") or "").startswith("0x03")


def _torch(system: System) -> Finding:
    """Whether torch was built for CUDA: read from its version file, because importing torch takes seconds."""
    folder = system.module_folder("torch")
    try:
        text = "" if folder is None else (folder / "version.py").read_text(encoding="utf-8")
    except OSError:
        text = ""
    cuda = re.search(r"^cuda\b[^=]*= *'([\d.]+)'", text, re.MULTILINE)
    if cuda:
        return ok("torch on the GPU", f"torch {system.version('torch')}, built for CUDA {cuda.group(1)}.")
    what = f"torch {system.version('torch')} is built without CUDA: the GPU stays unused."
    return note("torch on the GPU", what, "if you want to train on it, install a CUDA build of the same version.")
