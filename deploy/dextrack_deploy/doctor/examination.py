"""The examination: every check at once, each on its own, all within a few seconds.

A check that fails or hangs costs its own lines and no others. Threads are daemons: one that hangs in the kernel, for example on a network
file system that is gone, does not keep the program from ending.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from dextrack_deploy.doctor import calibration, camera, clock, data, gpu, kernel, network, packages, processor, ros, serial_port, storage, udev
from dextrack_deploy.doctor.case import Case
from dextrack_deploy.doctor.finding import Finding, warning
from dextrack_deploy.doctor.system import System

Check = Callable[[System, Case], list[Finding]]
CHECKS: tuple[tuple[str, Check], ...] = (
    ("packages", packages.check),
    ("ROS 2", ros.check),
    ("data", data.check),
    ("disk and memory", storage.check),
    ("processor", processor.check),
    ("kernel", kernel.check),
    ("clock", clock.check),
    ("GPU", gpu.check),
    ("serial port", serial_port.check),
    ("arm", network.check),
    ("camera", camera.check),
    ("udev rules", udev.check),
    ("calibration", calibration.check),
)
"""Every area and its check, in the order of the answer: what any trial needs first, then the devices."""
LIMIT_S = 4.0
"""Seconds that all checks have together; the longest command of one is bounded below this."""


def examine(system: System, case: Case, checks: Sequence[tuple[str, Check]] = CHECKS, limit_s: float = LIMIT_S) -> list[Finding]:
    """Run every check; what fails, or does not answer within ``limit_s`` seconds, is a finding too."""
    answers: dict[str, list[Finding]] = {}

    def run(area: str, check: Check) -> None:
        try:
            answers[area] = check(system, case)
        except Exception as error:  # a defect of one check must not hide what the others found
            what = f"this check failed: {type(error).__name__}: {error}."
            answers[area] = [warning(area, what, "check it by hand, and report this as a defect of `dextrack doctor`.")]

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in checks]
    deadline = time.monotonic() + limit_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [finding for area, _ in checks for finding in answers.get(area, [_late(area, limit_s)])]


def _late(area: str, limit_s: float) -> Finding:
    """A check that did not answer."""
    return warning(area, f"no answer within {limit_s:.1f} s.", "run this again; if it stays, a device or a disk does not answer.")
