"""The conformance suite: MuJoCo passes every case, and each case finds the faults that it is there to find."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dextrack.errors import InputError
from dextrack.files import read_arrays
from dextrack.hands import load_hand
from dextrack.sim import backend, register_backend
from dextrack.sim.backend import WorldState
from dextrack.sim.conformance import CASES, run
from dextrack.sim.conformance.hand_cases import step_response
from dextrack.sim.conformance.shapes import ball, box
from dextrack.sim.mujoco_backend import MujocoBackend
from dextrack.sim.physics import OBJECT, Physics
from dextrack.sim.scene import Scene, build_scene

HAND = load_hand("leap_right")
ONE_THREAD = {"n_threads": 1}


@pytest.mark.parametrize("case", CASES)
def test_mujoco_passes(case: str) -> None:
    (result,) = run("mujoco", HAND, ONE_THREAD, [case])
    assert result.ran and result.passed, result.figure


@pytest.mark.slow
@pytest.mark.parametrize("hand", ["leap_left", "allegro_right", "allegro_left"])
def test_mujoco_passes_with_the_other_hands(hand: str) -> None:
    results = run("mujoco", load_hand(hand), ONE_THREAD)
    assert all(r.passed for r in results if r.ran), results
    assert [r.case for r in results if not r.ran] == ([] if hand.startswith("leap") else ["held_sphere"])


class _Broken(MujocoBackend):
    """MuJoCo with a fault in its model or its physics; the faulty methods are below."""

    model: Callable[[Scene], None] | None = None
    physics: Callable[[Physics], Physics] | None = None

    def __init__(self, hand, base_quaternion_w, obj=None, physics=None, n_worlds=1, table=True, n_threads=1) -> None:
        used = physics if self.physics is None else type(self).physics(physics)
        scene = build_scene(hand, base_quaternion_w, obj, used, table)
        if self.model is not None:
            type(self).model(scene)
        super().__init__(scene, n_worlds, n_threads)
        self.period = physics.period


def _model(change: Callable[[Scene], None]) -> type[_Broken]:
    return type("_BrokenModel", (_Broken,), {"model": staticmethod(change)})


def _physics(**changes: Any) -> type[_Broken]:
    return type("_BrokenPhysics", (_Broken,), {"physics": staticmethod(lambda physics: dataclasses.replace(physics, **changes))})


def _fingers(model: Any) -> slice:
    return slice(6, model.nu)


def _no_limits(scene: Scene) -> None:
    scene.model.jnt_limited[:] = 0


def _no_effort_limit(scene: Scene) -> None:
    scene.model.actuator_forcelimited[:] = 0


def _stall_effort(scene: Scene) -> None:
    scene.model.actuator_forcerange[_fingers(scene.model)] *= 0.95 / 0.26


def _no_armature(scene: Scene) -> None:
    scene.model.dof_armature[:] = 0.0002


def _stiff(scene: Scene) -> None:
    scene.model.actuator_gainprm[:, 0] *= 2.0
    scene.model.actuator_biasprm[:, 1] *= 2.0


def _undamped(scene: Scene) -> None:
    scene.model.actuator_biasprm[:, 2] *= 0.3


def _heavier_gravity(scene: Scene) -> None:
    scene.model.opt.gravity[2] *= 2.0


def _no_compensation(scene: Scene) -> None:
    scene.model.body_gravcomp[:] = 0.0


def _slippery(scene: Scene) -> None:
    scene.model.geom_friction[:, 0] *= 0.3


def _lopsided(scene: Scene) -> None:
    if scene.object_dof >= 0:
        scene.model.body_inertia[scene.model.body(OBJECT).id] *= np.array([1.0, 2.0, 2.5])


def _dragged(scene: Scene) -> None:
    if scene.object_dof >= 0:
        scene.model.dof_damping[scene.object_dof : scene.object_dof + 3] = 0.2


class _Permuted(_Broken):
    """Takes one finger's second joint for its third, coming and going: theta alone cannot tell."""

    ORDER = np.array([*range(8), 9, 8, *range(10, 22)])

    def reset(self, hand, *args: Any, **kwargs: Any) -> None:
        super().reset(np.asarray(hand)[:, self.ORDER], *args, **kwargs)

    def step(self, targets) -> None:
        super().step(targets[:, self.ORDER])

    def state(self) -> WorldState:
        state = super().state()
        return dataclasses.replace(state, hand=state.hand[:, self.ORDER], hand_velocity=state.hand_velocity[:, self.ORDER])


class _Renamed(_Broken):
    """Names theta's columns otherwise than the hand does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.joint_names = self.joint_names[::-1]


class _Xyzw(_Broken):
    """Takes and gives the object's quaternion as xyzw."""

    def reset(self, hand, object_position_w=None, object_quaternion_w=None, *args: Any, **kwargs: Any) -> None:
        given = None if object_quaternion_w is None else np.asarray(object_quaternion_w)[:, [3, 0, 1, 2]]
        super().reset(hand, object_position_w, given, *args, **kwargs)

    def state(self) -> WorldState:
        state = super().state()
        if state.object_quaternion_w.shape[1] == 0:
            return state
        return dataclasses.replace(state, object_quaternion_w=state.object_quaternion_w[:, [1, 2, 3, 0]])


class _SpinInBody(_Broken):
    """Gives the object's angular velocity in the object's frame, as the engine keeps it."""

    def state(self) -> WorldState:
        d = self.scene.object_dof
        return dataclasses.replace(super().state(), object_angular_velocity_w=self._qvel[:, d + 3 : d + 6]) if d >= 0 else super().state()


class _LeakingReset(_Broken):
    """A reset of some worlds stops the hand of every world."""

    def reset(self, *args: Any, **kwargs: Any) -> None:
        super().reset(*args, **kwargs)
        self._qvel[:] = 0.0


class _KeepsVelocity(_Broken):
    """A reset leaves the velocities of the hand as they were."""

    def reset(self, *args: Any, **kwargs: Any) -> None:
        before = self._qvel[:, self.scene.hand_dof].copy()
        super().reset(*args, **kwargs)
        self._qvel[:, self.scene.hand_dof] = before


class _Restless(_Broken):
    """Adds a little of its own to every target, and never the same twice."""

    RNG = np.random.default_rng(1)

    def step(self, targets) -> None:
        super().step(targets + 0.01 * self.RNG.normal(size=targets.shape))


class _NoVariety(_Broken):
    """Ignores ``vary``."""

    def vary(self, friction_scale, mass_scale) -> None:
        pass


class _SilentBad(_Broken):
    """Never reports a bad world."""

    def bad_worlds(self):
        return np.array([], dtype=np.intp)


class _Poisoned(_Broken):
    """A number that is none spreads over all worlds."""

    def step(self, targets) -> None:
        poison = np.isnan(self._qpos).any() or np.isnan(targets).any()
        super().step(targets + 0.1 if poison else targets)


class _NeverMended(_Broken):
    """Goes on reporting a world that was bad once."""

    def bad_worlds(self):
        self._ever = getattr(self, "_ever", set()) | set(super().bad_worlds().tolist())
        return np.array(sorted(self._ever), dtype=np.intp)


class _Crashing(_Broken):
    """An engine that gives up."""

    def step(self, targets) -> None:
        raise RuntimeError("the driver went away")


class _Alone(_Broken):
    """Sound, but can be only once in a process, as Isaac Gym."""

    there = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        assert not _Alone.there, "it is there already"
        super().__init__(*args, **kwargs)
        _Alone.there = True

    def close(self) -> None:
        _Alone.there = False


FAULTS = [
    ("time_step", _physics(period=1 / 50)),
    ("joint_order", _Permuted),
    ("joint_order", _Renamed),
    ("limits", _model(_no_limits)),
    ("effort_clamp", _model(_no_effort_limit)),
    ("effort_clamp", _model(_stall_effort)),
    ("effort_clamp", _model(_no_armature)),
    ("effort_clamp", _physics(effort_scale=1.0)),
    ("gravity_compensation", _model(_no_compensation)),
    ("gravity_compensation", _physics(hand_gravity=False)),
    ("pd_response", _model(_stiff)),
    ("pd_response", _model(_undamped)),
    ("free_fall", _model(_heavier_gravity)),
    ("free_fall", _model(_dragged)),
    ("object_frames", _Xyzw),
    ("object_frames", _SpinInBody),
    ("object_frames", _model(_lopsided)),
    ("friction_cone", _model(_slippery)),
    ("friction_cone", _NoVariety),
    ("held_sphere", _model(_slippery)),
    ("held_sphere", _NoVariety),
    ("reset_isolation", _LeakingReset),
    ("reset_isolation", _KeepsVelocity),
    ("determinism", _Restless),
    ("nan_containment", _SilentBad),
    ("nan_containment", _Poisoned),
    ("nan_containment", _NeverMended),
]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[type[_Broken]], str]]:
    """Register a broken backend for this test alone."""
    monkeypatch.setattr(backend, "_BACKENDS", dict(backend._BACKENDS))

    def register(make: type[_Broken]) -> str:
        register_backend("broken", make)
        return "broken"

    yield register


@pytest.mark.parametrize(("case", "fault"), FAULTS, ids=lambda x: getattr(x, "__name__", x))
def test_each_case_finds_its_faults(case: str, fault: type[_Broken], broken) -> None:
    (result,) = run(broken(fault), HAND, cases=[case])
    assert result.ran and not result.passed and "raised" not in result.figure, result.figure


def test_every_case_has_a_fault_and_passes_without_one(broken) -> None:
    """The wrapper itself breaks nothing, and no case needs two backends at a time."""
    assert {case for case, _ in FAULTS} == set(CASES)
    results = run(broken(_Alone), HAND)
    assert all(r.passed for r in results), results
    assert not _Alone.there


def test_a_case_that_raises_has_failed_and_the_next_goes_on(broken, tmp_path: Path) -> None:
    told = []
    results = run(broken(_Crashing), HAND, cases=["free_fall", "determinism"], dump=tmp_path, tell=told.append)
    assert tuple(told) == results and len(results) == 2
    assert all(r.ran and not r.passed and "RuntimeError: the driver went away" in r.figure for r in results)
    header, arrays = read_arrays(tmp_path / "broken_free_fall.npz")
    assert header["case"] == "free_fall" and header["joint_names"] == list(HAND.joint_names)
    assert arrays["hand"].shape == (1, 22) and arrays["object_position_w"][0, 2] == 2.0 and len(arrays["bad_worlds"]) == 0
    assert str(tmp_path / "broken_free_fall.npz") in results[0].figure


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(InputError, match="free_fall"):
        run("mujoco", HAND, cases=["walking"])
    with pytest.raises(InputError, match="mujoco"):
        run("bullet", HAND)


def test_the_step_response_is_that_of_the_differential_equation() -> None:
    """Under- and overdamped, against small steps of the equation itself."""
    for mass, kp, kv in ((0.6, 1000.0, 20.0), (0.001, 5.0, 0.25)):
        x = v = 0.0
        h = 1e-6
        for _ in range(50_000):
            v += h * (kp * (1.0 - x) - kv * v) / mass
            x += h * v
        assert step_response(mass, kp, kv, np.array([0.05]))[0] == pytest.approx(x, abs=1e-3)


def test_shapes_are_closed_and_turned_outwards() -> None:
    for obj, volume in ((ball(0.025, 0.1), 4 / 3 * np.pi * 0.025**3), (box((0.1, 0.2, 0.03), 0.1), 0.1 * 0.2 * 0.03)):
        corners = obj.vertices[obj.faces]
        assert np.linalg.det(corners).sum() / 6 == pytest.approx(volume, rel=0.15)
        edges = {(int(f[i]), int(f[(i + 1) % 3])) for f in obj.faces for i in range(3)}
        assert len(edges) == 3 * len(obj.faces) and all((b, a) in edges for a, b in edges)


def test_the_suite_needs_nothing_that_the_protocol_does_not(tmp_path: Path) -> None:
    """It also runs where an engine keeps its own Python."""
    code = "import sys, json, dextrack.sim; before = set(sys.modules); import dextrack.sim.conformance; print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert {name.split(".")[0] for name in json.loads(done.stdout)} <= {"dextrack", *sys.stdlib_module_names}
