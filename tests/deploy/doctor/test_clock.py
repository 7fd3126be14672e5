"""The clock, as chrony and systemd tell of it."""

from __future__ import annotations

import pytest
from dextrack_deploy.doctor import Level, clock
from dextrack_deploy.doctor.system import Ran

CHRONY = "C0000201,192.0.2.1,3,1700000000.1,{offset},0.00001,0.00002,1.2,0.1,0.3,0.01,0.001,64.2,{leap}\n"


@pytest.mark.parametrize(
    "offset, leap, in_lab, in_twin",
    [
        ("-0.002", "Normal", Level.OK, Level.OK),
        ("0.02", "Normal", Level.WARNING, Level.NOTE),
        ("0.0", "Not synchronised", Level.WARNING, Level.NOTE),
        ("soon", "Normal", Level.NOTE, Level.NOTE),
    ],
)
def test_chrony(machine, lab, twin, offset, leap, in_lab, in_twin) -> None:
    machine.commands["chronyc"] = Ran(0, CHRONY.format(offset=offset, leap=leap))
    assert [f.level for f in clock.check(machine.system, lab)] == [in_lab]
    assert [f.level for f in clock.check(machine.system, twin)] == [in_twin]


@pytest.mark.parametrize(
    "ran, level", [(Ran(0, "yes\n"), Level.OK), (Ran(0, "no\n"), Level.WARNING), (Ran(1, "", "no bus"), Level.WARNING), (None, Level.WARNING)]
)
def test_systemd(machine, lab, ran, level) -> None:
    machine.commands["chronyc"] = Ran(1, "", "506 Cannot talk to daemon")
    machine.commands["timedatectl"] = ran
    (finding,) = clock.check(machine.system, lab)
    assert finding.level is level and (level is Level.OK or "chrony" in finding.remedy)
