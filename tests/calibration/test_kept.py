"""What a stopped session keeps, and what it must not take over."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dextrack_calibration.motors import kept as keeping
from dextrack_calibration.motors import session
from dextrack_calibration.motors.excite import Response
from dextrack_calibration.motors.kept import Kept, Measured
from dextrack_calibration.motors.plan import Plan, Planner
from dextrack_deploy.drivers.leap_setup import LeapInfo

from dextrack.errors import DriverError, RefusedError
from dextrack.hands import load_hand

HAND = load_hand("leap_right")
INFO = LeapInfo("/dev/ttyUSB0", 4_000_000, None, (52,) * 16, True)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Planner(HAND).plan("5", 1)


@pytest.fixture
def measured(plan: Plan) -> Measured:
    rng = np.random.default_rng(3)

    def response(n: int) -> Response:
        series = [rng.uniform(size=20 + n) for _ in range(3)]
        return Response(plan.moves[n], *series, rest=float(rng.uniform()), onset=1e-3, attempts=1 + n)

    return Measured(INFO, tuple(response(n) for n in range(len(plan.moves))))


def test_what_is_kept_comes_back_as_it_was(tmp_path: Path, plan: Plan, measured: Measured) -> None:
    kept = Kept(tmp_path / "steps", HAND, "hand")
    assert kept.load(plan) is None
    kept.save(plan, measured)
    back = kept.load(plan)
    assert back is not None and back.info == INFO
    for one, other in zip(measured.responses, back.responses, strict=True):
        for field in dataclasses.fields(Response):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))
    kept.forget(["5", "6"])
    assert not (tmp_path / "steps").exists()


def test_nothing_is_taken_over_that_would_not_be_measured_again_in_the_same_way(
    tmp_path: Path, plan: Plan, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(tmp_path, HAND, "hand")
    kept.save(plan, measured)
    assert Kept(tmp_path, HAND, "rehearsal 0").load(plan) is None
    assert Kept(tmp_path, dataclasses.replace(HAND, finger_kp=7.0), "hand").load(plan) is None
    assert kept.load(dataclasses.replace(plan, moves=plan.moves[1:])) is None
    assert kept.load(dataclasses.replace(plan, pose=plan.pose + 0.01)) is None
    monkeypatch.setattr(keeping, "FRESH_S", -1.0)
    assert kept.load(plan) is None
    monkeypatch.undo()
    assert kept.load(plan) is not None
    whole = (tmp_path / "5.npz").read_bytes()
    (tmp_path / "5.npz").write_bytes(whole[: len(whole) // 2])
    assert kept.load(plan) is None


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch, measured: Measured) -> list[str]:
    """A session without a hand: every joint that is asked for is noted, and answers with ``measured``."""
    asked: list[str] = []

    class Driver:
        info = INFO

        def close(self) -> None: ...

    class Taken:
        def __init__(self, hand: object) -> None: ...

        def __enter__(self) -> Taken:
            return self

        def __exit__(self, *error: object) -> None: ...

    def excite(bench: object, plan: Plan) -> list[Response]:
        asked.append(plan.joint)
        if os.environ.get("SILENT") == plan.joint:
            raise DriverError("motor is silent.", remedy="check the cable.")
        if os.environ.get("BLOCKED") == plan.joint:
            raise RefusedError("it is blocked.", remedy="free it.")
        return [dataclasses.replace(r, move=move) for r, move in zip(measured.responses, plan.moves, strict=True)]

    monkeypatch.setattr(session, "LeapHand", lambda *args, **options: Driver())
    monkeypatch.setattr(session, "Bench", Taken)
    monkeypatch.setattr(session, "excite", excite)
    return asked


@pytest.fixture
def measure(tmp_path: Path) -> Callable[[], session.Measurement]:
    said: list[str] = []
    return lambda: session.measure(HAND, "auto", ("5", "6", "7"), 1, said.append, Kept(tmp_path, HAND, "hand"))


def test_a_session_that_broke_off_goes_on_with_the_joint_it_broke_off_at(
    bus: list[str], measure: Callable[[], session.Measurement], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SILENT", "6")
    with pytest.raises(DriverError):
        measure()
    monkeypatch.delenv("SILENT")
    assert list(measure().joints) == ["5", "6", "7"]
    assert bus == ["5", "6", "6", "7"]
    # Everything is there: the hand is not even opened.
    assert list(measure().joints) == ["5", "6", "7"] and len(bus) == 4


def test_a_refused_joint_alone_is_measured_again(bus: list[str], measure: Callable[[], session.Measurement], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOCKED", "6")
    first = measure()
    assert list(first.joints) == ["5", "7"] and list(first.refused) == ["6"]
    monkeypatch.delenv("BLOCKED")
    assert list(measure().joints) == ["5", "6", "7"]
    assert bus == ["5", "6", "7", "6"]
