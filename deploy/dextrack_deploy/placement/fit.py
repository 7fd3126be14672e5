"""place: fit a reference or a demonstration to a cell, or refuse it with the reason.

1. Where: x, y and yaw are searched so that the arm reaches the whole wrist path, away from joint limits, singularities and the table;
   or follow from where the object lies.
2. How fast: the path is slowed down uniformly until the joint velocities and accelerations that the cell allows hold.
3. Proof: the streaming inverse kinematics and rate limits that run on the robot follow the placed path from beginning to end; what they
   leave undone decides, and is reported.
"""

from __future__ import annotations

import dataclasses
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import RefusedError
from dextrack.references.reference import Reference
from dextrack.rotations import conjugate, multiply, to_matrix, to_rotation_vector
from dextrack_deploy.arm.collision import CellCollisions
from dextrack_deploy.arm.wrist_to_arm import WristToArm
from dextrack_deploy.cell import CellConfig
from dextrack_deploy.placement.reach import ReachModel
from dextrack_deploy.placement.search import Candidate, anchored, search
from dextrack_deploy.placement.transform import PlanarTransform, move, sample, slow_rows, wrist_path

Floats = NDArray[np.float64]
Task = TypeVar("Task", Reference, Demonstration)

KNOT_STEPS = 12
"""Control steps between two knots of the path that the search looks at."""
KNOTS = (15, 40)
"""Least and greatest number of knots."""
TRIED = 6
"""Candidates that are checked on the whole path before giving up."""
USED = 0.95
"""Part of the cell's velocity and acceleration limits that a slowed-down path may use; the rest is for corrections."""
SMOOTHING = 9
"""Frames over which a joint path is smoothed before it is differentiated: states jitter, and the rate limits deal with that."""
EASE = 24
"""Control steps over which a path that needs it begins from rest, and ends at rest."""
POSITION_LIMIT = 0.003
"""Distance of the streamed hand from the path above which a placement is slowed down further or refused, m."""
ROTATION_LIMIT = 0.03
"""Angle of the streamed hand from the path above which a placement is slowed down further or refused, rad."""
TILT_LIMIT = 0.26
"""Angle between how the object stands and how the reference begins, beside the yaw, above which a re-anchoring is refused, rad."""
HEIGHT_LIMIT = 0.03
"""Height between where the object lies and where the reference begins above which a re-anchoring is refused, m."""


@dataclasses.dataclass(frozen=True)
class Placement:
    """Figures of a placement, measured on the streamed joint path."""

    max_velocity_fraction: float
    """Largest joint velocity as a part of the arm's published limit."""
    max_acceleration_fraction: float
    """Largest joint acceleration as a part of the arm's published limit."""
    min_limit_margin: float
    """Least distance of a joint from its published limit, rad."""
    min_manipulability: float
    """Yoshikawa's measure; an FR3 has about 0.1 in the middle of its reach and 0 in a singularity."""
    min_table_clearance: float
    """Least height of the arm's links over the table, m."""
    max_position_error: float
    """Largest distance of the streamed hand from the path, m."""
    max_rotation_error: float
    """Largest angle of the streamed hand from the path, rad."""
    limited_ticks: int
    """Control periods in which the rate limits held the arm back."""


@dataclasses.dataclass(frozen=True)
class PlacedTask(Generic[Task]):
    """A reference or demonstration where the cell can run it. World frame of the cell, control period."""

    task: Task
    """Moved and slowed down."""
    transform: PlanarTransform
    """How it was moved."""
    time_scale: float
    """How many times slower it is than what was given, at least 1."""
    arm_path: Floats
    """(N + 1, 7): joint positions that the rate limits allow along the path, rad; a posture for ``WristToArm.command``."""
    figures: Placement

    @property
    def reference(self) -> Reference:
        """The placed reference."""
        return self.task.reference if isinstance(self.task, Demonstration) else self.task

    @property
    def demonstration(self) -> Demonstration | None:
        """The placed demonstration, where one was given."""
        return self.task if isinstance(self.task, Demonstration) else None


def place(task: Task, cell: CellConfig, object_pose_w: tuple[Floats, Floats] | None = None, max_time_scale: float = 4.0, seed: int = 0) -> PlacedTask[Task]:
    """Fit ``task`` to ``cell``.

    Args:
        task: a reference, whose states the wrist will follow; or a demonstration, whose reached states it will follow.
        cell: the cell.
        object_pose_w: measured position (3,) m and quaternion (4,) of the object. Then the task is moved to begin there, and nothing is
            searched. None: the best place is searched, and the object has to be put there.
        max_time_scale: slow-down beyond which the task is refused.
        seed: of the search; equal seeds give equal placements.

    Raises:
        RefusedError: no placement does, with what stood in the way.
    """
    reference = task.reference if isinstance(task, Demonstration) else task
    if reference.hand_name != cell.hand.model:
        raise RefusedError(
            f"{reference.name} is for the hand {reference.hand_name}; cell {cell.name} has {cell.hand.model}.", remedy="retarget it to that hand."
        )
    states = task.hand
    position, quaternion = wrist_path(reference, states)
    knots = np.unique(np.linspace(0, len(states) - 1, int(np.clip(len(states) // KNOT_STEPS, *KNOTS))).round().astype(int))
    model = ReachModel(cell, position[knots], quaternion[knots], knots * reference.period)
    if object_pose_w is None:
        candidates = search(model, cell, task.object_position_w[0], position[knots], seed)
    else:
        transform = anchor(task.object_position_w[0], task.object_quaternion_w[0], *object_pose_w)
        candidates = [anchored(model, transform, seed)]
    fit = _Fit(task, cell, model, knots, max_time_scale)
    reasons = []
    for one in [c for c in candidates if not c.why][:TRIED]:
        placed = fit.follow(one)
        if isinstance(placed, PlacedTask):
            return placed
        reasons.append(placed)
    where = "where the object lies" if object_pose_w is not None else "anywhere"
    remedy = "move the object towards the middle of the workspace, or choose another recording" if object_pose_w is not None else "choose another recording"
    raise RefusedError(f"{reference.name} cannot be placed {where} in cell {cell.name}: {(reasons or [candidates[0].why])[0]}.", remedy=remedy + ".")


def anchor(begin_position: Floats, begin_quaternion: Floats, position_w: Floats, quaternion_w: Floats) -> PlanarTransform:
    """The move over the table that brings the object from where a task begins to where it lies.

    Raises:
        RefusedError: no move over the table does: the object lies on another side or at another height.
    """
    turn = multiply(np.asarray(quaternion_w), conjugate(begin_quaternion))
    yaw = 2.0 * float(np.arctan2(turn[3], turn[0]))
    move_ = PlanarTransform.carrying(begin_position, (float(position_w[0]), float(position_w[1])), yaw)
    tilt = float(np.linalg.norm(to_rotation_vector(multiply(turn, conjugate(move_.quaternion)))))
    height = abs(float(position_w[2] - begin_position[2]))
    if tilt > TILT_LIMIT or height > HEIGHT_LIMIT:
        what = f"object: it lies {np.degrees(tilt):.0f} degrees tilted from, and {1e3 * height:.0f} mm above or below, where the reference begins."
        raise RefusedError(what, remedy="put it on the side that the reference shows, on the table.")
    return move_


class _Fit(Generic[Task]):
    """Checks candidates on the whole path."""

    def __init__(self, task: Task, cell: CellConfig, model: ReachModel, knots: NDArray[np.int64], max_time_scale: float) -> None:
        self._task: Task = task
        self._cell, self._model, self._knots, self._max_time_scale = cell, model, knots, max_time_scale
        self._arm = model.inverse.kinematics.arm
        self._collides = CellCollisions(cell, hand_and_table=False)
        self._wrist_to_arm = WristToArm(cell)

    def follow(self, chosen: Candidate) -> PlacedTask[Task] | str:
        """The placed task, or the reason why this candidate does not do."""
        moved = move(self._task, chosen.transform)
        joints = self._joint_path(moved, _interpolate(np.arange(len(moved.hand)), self._knots, chosen.q))
        touching = self._touching(moved, joints)
        if touching:
            return touching
        factor, ease = self._slowdown(joints), 0
        for _ in range(6):
            if factor > self._max_time_scale:
                return f"the arm would need {factor:.1f} times as long (at most {self._max_time_scale:g} times is allowed)"
            rows = slow_rows(len(moved.hand) - 1, factor, ease)
            slowed = sample(moved, rows)
            plan = self._joint_path(slowed, _interpolate(rows, np.arange(len(joints)), joints))
            path, position_error, rotation_error, limited = self._stream(slowed, plan)
            if position_error.max() <= POSITION_LIMIT and rotation_error.max() <= ROTATION_LIMIT:
                figures = self._figures(path, slowed, position_error, rotation_error, limited)
                return PlacedTask(slowed, chosen.transform, (len(rows) - 1) / (len(joints) - 1), path, figures)
            # Most paths only begin too fast: a recording starts in full motion, an arm at rest.
            factor, ease = (factor, EASE) if ease == 0 else (1.2 * factor, EASE)
        worst = int(np.argmax(position_error))
        return f"the arm lags {1e3 * position_error[worst]:.0f} mm behind the wrist at {worst / (len(path) - 1):.0%} of the path, however slow"

    def _joint_path(self, task: Task, guess: Floats) -> Floats:
        """(T, 7): joint positions at every wrist pose of ``task``, near ``guess``."""
        reference = task.reference if isinstance(task, Demonstration) else task
        position, quaternion = wrist_path(reference, task.hand)
        return self._model.inverse.refine(guess, position, to_matrix(quaternion), iterations=8, posture=guess).q

    def _touching(self, task: Task, joints: Floats) -> str:
        for k in self._knots:
            found = self._collides(joints[k], task.hand[k, 6:])
            if found:
                return f"{found} would touch at {k / self._knots[-1]:.0%} of the path"
        return ""

    def _slowdown(self, joints: Floats) -> float:
        """Factor by which the joint path must be slowed down, at least 1."""
        window = min(SMOOTHING, len(joints) - (len(joints) + 1) % 2)
        if window < 5:
            return 1.0
        period = self._wrist_to_arm.period
        v = savgol_filter(joints, window, 3, deriv=1, delta=period, axis=0)
        a = savgol_filter(joints, window, 3, deriv=2, delta=period, axis=0)
        least, greatest = self._arm.velocity_bounds(joints)
        allowed = np.minimum(self._cell.arm.velocity_fraction * self._arm.velocity, np.where(v > 0.0, greatest, -least))
        fast = float((np.abs(v) / np.maximum(allowed, 1e-6)).max())
        sudden = float((np.abs(a) / (self._cell.arm.acceleration_fraction * self._arm.acceleration)).max())
        need = max(fast, sudden**0.5) / USED
        return max(1.0, need)

    def _stream(self, task: Task, plan: Floats) -> tuple[Floats, Floats, Floats, int]:
        """Follow the path as the robot will: joint path (T, 7), errors (T) in m and rad, and how many ticks were limited."""
        reference = task.reference if isinstance(task, Demonstration) else task
        position, quaternion = wrist_path(reference, task.hand)
        self._wrist_to_arm.reset(plan[0])
        commands = [self._wrist_to_arm.command(p, q, posture=j) for p, q, j in zip(position, quaternion, plan, strict=True)]
        return (
            np.array([c.q for c in commands]),
            np.array([c.position_error for c in commands]),
            np.array([c.rotation_error for c in commands]),
            sum(c.limited for c in commands),
        )

    def _figures(self, path: Floats, task: Task, position_error: Floats, rotation_error: Floats, limited: int) -> Placement:
        v = np.diff(path, axis=0) / self._wrist_to_arm.period
        a = np.diff(v, axis=0) / self._wrist_to_arm.period
        return Placement(
            max_velocity_fraction=float((np.abs(v) / self._arm.velocity).max()),
            max_acceleration_fraction=float((np.abs(a) / self._arm.acceleration).max()) if len(a) else 0.0,
            min_limit_margin=float(np.minimum(path - self._arm.lower, self._arm.upper - path).min()),
            min_manipulability=float(self._model.inverse.kinematics.manipulability(path).min()),
            min_table_clearance=self._model.table_clearance(path),
            max_position_error=float(position_error.max()),
            max_rotation_error=float(rotation_error.max()),
            limited_ticks=limited,
        )


def _interpolate(at: NDArray[np.generic], known: NDArray[np.generic], q: Floats) -> Floats:
    """Joint positions (T, 7) at ``at`` (T,) between rows ``q`` (K, 7) known at ``known`` (K,), linearly."""
    return np.stack([np.interp(at.astype(np.float64), known.astype(np.float64), q[:, j]) for j in range(q.shape[1])], axis=1)
