"""Recordings and the folder that they lie in."""

from __future__ import annotations

import dataclasses

from dextrack_deploy.doctor import Level, data


def test_recordings_are_counted(machine, twin, named) -> None:
    for name in ("myodm/recordings/a.npz", "myodm/recordings/b.npz", "myodm/recordings/.b.npz.part.npz", "grab/recordings/c.npz", "empty/recordings/x.txt"):
        path = twin.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    finding = named(data.check(machine.system, twin), "recordings")
    assert finding.level is Level.OK and finding.what.startswith("1 of grab, 2 of myodm.")


def test_none(machine, twin, named) -> None:
    finding = named(data.check(machine.system, twin), "recordings")
    assert finding.level is Level.NOTE and "dextrack data install myodm" in finding.remedy


def test_a_folder_that_cannot_be_written(machine, twin, named) -> None:
    case = dataclasses.replace(twin, data=machine.root / "shared" / "dextrack")
    machine.forbidden.add("/shared")
    machine.at("/shared").mkdir()
    finding = named(data.check(machine.system, case), "data folder")  # the folder itself is still to be made
    assert finding.level is Level.PROBLEM and "DEXTRACK_DATA" in finding.remedy
    machine.forbidden.add("/shared/dextrack")
    (case.data / "myodm" / "recordings").mkdir(parents=True)
    (case.data / "myodm" / "recordings" / "a.npz").touch()
    assert named(data.check(machine.system, case), "data folder").level is Level.NOTE
    assert named(data.check(machine.system, twin), "data folder").level is Level.OK


def test_the_nearest_folder_that_there_is(tmp_path) -> None:
    assert data.nearest(tmp_path / "a" / "b") == tmp_path
    assert data.nearest(tmp_path) == tmp_path
