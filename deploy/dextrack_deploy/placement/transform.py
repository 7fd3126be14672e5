"""Moving references and demonstrations over the table, and stretching them in time.

Both keep the hand where it is relative to the object: the move is one rigid transform of everything, the stretch samples everything at the
same times.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import overload

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.references.reference import Reference
from dextrack.rotations import continuous, from_hinges, from_rotation_vector, multiply, rotate, slerp

Floats = NDArray[np.float64]

TRANSLATIONS = ("tx", "ty", "tz")
ROTATIONS = ("rx", "ry", "rz")
CATCHES_UP = 20
"""Control steps after which a simulated wrist that began at rest moves as its targets want: six of its time constants of 50 ms."""


@dataclasses.dataclass(frozen=True)
class PlanarTransform:
    """A move over the table: turn by ``yaw`` about the world's z axis, then shift by (x, y)."""

    x: float = 0.0
    """m."""
    y: float = 0.0
    """m."""
    yaw: float = 0.0
    """rad."""

    @staticmethod
    def carrying(pivot_w: Floats, to_xy: tuple[float, float], yaw: float) -> PlanarTransform:
        """The move that turns by ``yaw`` rad and brings the point ``pivot_w`` (3,) m to ``to_xy`` m."""
        turned = rotate(from_rotation_vector([0.0, 0.0, yaw]), pivot_w)
        return PlanarTransform(float(to_xy[0] - turned[0]), float(to_xy[1] - turned[1]), float(math.remainder(yaw, 2.0 * math.pi)))

    def after(self, first: PlanarTransform) -> PlanarTransform:
        """The move that does ``first`` and then this."""
        x, y, _ = self.points(np.array([first.x, first.y, 0.0]))
        return PlanarTransform(float(x), float(y), float(math.remainder(self.yaw + first.yaw, 2.0 * math.pi)))

    @property
    def quaternion(self) -> Floats:
        """(4,) of the turn."""
        return from_rotation_vector([0.0, 0.0, self.yaw])

    def points(self, p: Floats) -> Floats:
        """Moved points (..., 3) m."""
        return rotate(self.quaternion, p) + np.array([self.x, self.y, 0.0])

    def rotations(self, q: Floats) -> Floats:
        """Turned quaternions (..., 4)."""
        return multiply(self.quaternion, q)

    def vectors(self, v: Floats) -> Floats:
        """Turned vectors (..., 3): velocities."""
        return rotate(self.quaternion, v)


def wrist_path(reference: Reference, hand: Floats) -> tuple[Floats, Floats]:
    """Wrist poses of hand states ``hand`` (T, 22), columns as ``reference.joint_names``: positions (T, 3) m and quaternions (T, 4), world frame."""
    position = hand[:, _columns(reference, TRANSLATIONS)]
    quaternion = multiply(reference.base_quaternion_w, from_hinges(hand[:, _columns(reference, ROTATIONS)]))
    return position, continuous(quaternion)


def _columns(reference: Reference, names: tuple[str, ...]) -> list[int]:
    return [reference.joint_names.index(n) for n in names]


@overload
def move(task: Reference, transform: PlanarTransform) -> Reference: ...
@overload
def move(task: Demonstration, transform: PlanarTransform) -> Demonstration: ...
def move(task: Reference | Demonstration, transform: PlanarTransform) -> Reference | Demonstration:
    """``task`` moved over the table. The wrist's hinges keep their angles: their base frame turns."""
    if isinstance(task, Demonstration):
        columns = _columns(task.reference, TRANSLATIONS)
        return dataclasses.replace(
            task,
            reference=move(task.reference, transform),
            targets=_move_columns(task.targets, columns, transform.points),
            hand=_move_columns(task.hand, columns, transform.points),
            hand_velocity=_move_columns(task.hand_velocity, columns, transform.vectors),
            object_position_w=transform.points(task.object_position_w),
            object_quaternion_w=transform.rotations(task.object_quaternion_w),
        )
    return dataclasses.replace(
        task,
        base_quaternion_w=transform.rotations(task.base_quaternion_w),
        hand=_move_columns(task.hand, _columns(task, TRANSLATIONS), transform.points),
        object_position_w=transform.points(task.object_position_w),
        object_quaternion_w=transform.rotations(task.object_quaternion_w),
        keypoints_w=transform.points(task.keypoints_w),
    )


def _move_columns(values: Floats, columns: list[int], moved: Callable[[Floats], Floats]) -> Floats:
    out = values.copy()
    out[:, columns] = moved(values[:, columns])
    return out


def slow_rows(n_steps: int, factor: float, ease_steps: int = 0) -> Floats:
    """When the states of a motion of ``n_steps`` steps are passed if it runs ``factor`` >= 1 times slower, at the same period.

    Args:
        n_steps: steps of the motion.
        factor: how many times slower; rounded up so that the last state falls on a sample.
        ease_steps: samples that are added so that the motion begins from rest: recordings begin in full motion, an arm cannot.

    Returns:
        (S + 1,): row number of the motion at every sample, fractional, from 0 to ``n_steps``, increasing.
    """
    steps = max(n_steps, math.ceil(n_steps * factor - 1e-9)) + ease_steps
    # The ramp has half of the mean speed over twice the steps that are added, so that the rest runs at full speed.
    ramp = np.clip((np.arange(steps) + 0.5) / max(2 * ease_steps, 0.5), 0.0, 1.0)
    speed = ramp * ramp * (3.0 - 2.0 * ramp)
    rows: Floats = np.concatenate([[0.0], np.cumsum(speed)])
    rows *= n_steps / rows[-1]
    return rows


@overload
def sample(task: Reference, rows: Floats) -> Reference: ...
@overload
def sample(task: Demonstration, rows: Floats) -> Demonstration: ...
def sample(task: Reference | Demonstration, rows: Floats) -> Reference | Demonstration:
    """``task`` at fractional row numbers ``rows`` (S + 1,), as ``slow_rows`` gives them: S steps instead of N.

    States and targets are interpolated linearly, rotations spherically. Rows 0 .. N return the task's own values.
    """
    n = task.reference.n_steps if isinstance(task, Demonstration) else task.n_steps
    if isinstance(task, Demonstration):
        speed: Floats = np.gradient(rows)[:, None]
        return dataclasses.replace(
            task,
            reference=sample(task.reference, rows),
            targets=_sample(task.targets, np.minimum(rows[:-1], n - 1.0)) + _lag(task, rows),
            hand=_sample(task.hand, rows),
            hand_velocity=_sample(task.hand_velocity, rows) * speed,
            object_position_w=_sample(task.object_position_w, rows),
            object_quaternion_w=_turn(task.object_quaternion_w, rows),
        )
    return dataclasses.replace(
        task,
        hand=_sample(task.hand, rows),
        object_position_w=_sample(task.object_position_w, rows),
        object_quaternion_w=_turn(task.object_quaternion_w, rows),
        keypoints_w=_sample(task.keypoints_w, rows),
        time_scale=task.time_scale * (len(rows) - 1) / n,
    )


@overload
def smooth_wrist(task: Reference, steps: float) -> Reference: ...
@overload
def smooth_wrist(task: Demonstration, steps: float) -> Demonstration: ...
def smooth_wrist(task: Reference | Demonstration, steps: float) -> Reference | Demonstration:
    """A demonstration with the targets of its wrist low-pass filtered, without delay: a Gaussian of standard deviation ``steps`` control steps.

    An expert that floats turns its wrist with accelerations that no arm has. The fingers' targets stay, and so does a reference, which is
    smooth.
    """
    if not isinstance(task, Demonstration):
        return task
    wrist = _columns(task.reference, TRANSLATIONS + ROTATIONS)
    with_start = np.concatenate([task.hand[:1], task.targets])[:, wrist]
    targets = task.targets.copy()
    targets[:, wrist] = gaussian_filter1d(with_start, steps, axis=0, mode="nearest")[1:]
    return dataclasses.replace(task, targets=targets)


def _lag(task: Demonstration, rows: Floats) -> Floats:
    """What targets (S, 22) must give up when a motion is slowed down, so that the same forces lead through the same states.

    A PD controller's force is kp (target - state) - kv velocity: its targets run ahead of the states by kv / kp times the velocity, which
    is centimetres at the speed of a hand. Slowed down and not corrected, the hand would run that much ahead of the object.
    A demonstration begins at rest with targets of a hand in full motion: until its wrist has come to their speed, theirs counts, or a jump would be left
    that no slowness takes away.
    """
    kp, kv, _ = task.hand_spec.gains()
    middle = 0.5 * (rows[1:] + rows[:-1])
    velocity, wrist = task.hand_velocity.copy(), _columns(task.reference, TRANSLATIONS + ROTATIONS)
    led: Floats = np.gradient(np.concatenate([task.targets, task.targets[-1:]])[:, wrist], task.reference.period, axis=0)
    caught_up = np.clip(np.arange(len(velocity)) / CATCHES_UP, 0.0, 1.0)[:, None]
    velocity[:, wrist] = caught_up * velocity[:, wrist] + (1.0 - caught_up) * led
    return _sample(velocity, middle) * (np.diff(rows)[:, None] - 1.0) * (kv / kp)


def _sample(values: Floats, at: Floats) -> Floats:
    """Rows of ``values`` (T, ...) at fractional row numbers ``at`` (S,), linearly interpolated."""
    low = np.minimum(at.astype(int), len(values) - 2)
    part = (at - low).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray((1.0 - part) * values[low] + part * values[low + 1])


def _turn(quaternions: Floats, at: Floats) -> Floats:
    return slerp(np.arange(len(quaternions), dtype=np.float64), quaternions, np.clip(at, 0.0, len(quaternions) - 1.0))
