"""place: fit a reference or a demonstration to a cell, or refuse it with the reason.

1. Where: x, y and yaw are searched so that the arm reaches the whole wrist path, away from joint limits, singularities and the table;
   or follow from where the object lies.
2. How fast: slowed down uniformly, but no more than needed: a grasp that was mined at one speed slips at half of it. The wrist targets of
   an expert are smoothed first, and the task begins from rest.
3. Proof: the shadow simulator, the streaming inverse kinematics and the rate limits that run on the robot follow the placed task from
   beginning to end. What they leave undone decides how fast, and is reported.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import RefusedError
from dextrack.references.reference import Reference
from dextrack.rotations import to_matrix
from dextrack_deploy.arm.collision import CellCollisions
from dextrack_deploy.arm.wrist_to_arm import WristToArm
from dextrack_deploy.cell import CellConfig
from dextrack_deploy.placement.followed import Followed
from dextrack_deploy.placement.lying import anchor
from dextrack_deploy.placement.reach import ReachModel
from dextrack_deploy.placement.search import Candidate, anchored, search
from dextrack_deploy.placement.transform import PlanarTransform, move, sample, slow_rows, smooth_wrist, wrist_path

Floats = NDArray[np.float64]
Task = TypeVar("Task", Reference, Demonstration)

KNOT_STEPS = 12
"""Control steps between two knots of the path that the search looks at."""
KNOTS = (15, 40)
"""Least and greatest number of knots."""
TRIED = 4
"""Candidates, apart from each other, that are checked on the whole path; the one that must be slowed down least is taken."""
APART = (0.05, 0.3)
"""Distance in m, and yaw in rad, between candidates one of which suffices."""
FAST_ENOUGH = 1.1
"""Slow-down at which no further candidate is looked at."""
WRIST_SMOOTHING = 3.0
"""Standard deviation of the smoothing of an expert's wrist targets, control steps. Costs millimetres and hardly a perturbed replay, where
the slow-down that it saves (a factor of two) costs most of them."""
EASE = 12
"""Control steps that are added so that a placed task begins from rest: recordings begin in full motion, an arm cannot."""
AT_REST = 0.05
"""Speed of the wrist below which a task counts as beginning from rest, m/s."""
SLOWER = 1.07
"""Factor between two attempts."""
POSITION_LIMIT = (0.004, 0.010)
"""95th percentile and maximum of the distance of the streamed hand from the shadow simulator's that are accepted, m."""
ROTATION_LIMIT = (0.05, 0.10)
"""The same of the angle, rad."""


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
    """Largest distance of the streamed hand from the shadow simulator's, m."""
    max_rotation_error: float
    """Largest angle of the streamed hand from the shadow simulator's, rad."""
    limited_ticks: int
    """Control periods in which the rate limits held the arm back."""
    smoothed_by: float
    """Largest displacement of a wrist target by smoothing, m."""


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
    def where(self) -> str:
        """Where the object must lie, for the person who lays it there: what ``lying_at`` takes, in words."""
        x, y = self.task.object_position_w[0, :2]
        turn = np.degrees(_turn(self.transform.yaw))
        return f"x {100 * x:.1f} cm, y {100 * y:.1f} cm, turned by {turn:.0f} degrees from how the task begins"

    @property
    def demonstration(self) -> Demonstration | None:
        """The placed demonstration, where one was given."""
        return self.task if isinstance(self.task, Demonstration) else None


def place(task: Task, cell: CellConfig, object_pose_w: tuple[Floats, Floats] | None = None, max_time_scale: float = 4.0, seed: int = 0) -> PlacedTask[Task]:
    """Fit ``task`` to ``cell``.

    Args:
        task: what will be replayed: a reference, or a demonstration with its own targets.
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
    smoothed_by = _smoothed_by(task)
    task = smooth_wrist(task, WRIST_SMOOTHING)
    # Around the world's origin, because the floating wrist has limits.
    centre = PlanarTransform(-float(task.object_position_w[0, 0]), -float(task.object_position_w[0, 1]))
    task = move(task, centre)
    followed = Followed(task)
    knots = np.unique(np.linspace(0, len(task.hand) - 1, int(np.clip(len(task.hand) // KNOT_STEPS, *KNOTS))).round().astype(int))
    model = ReachModel(cell, followed.position_w[knots], followed.quaternion_w[knots], knots * reference.period)
    if object_pose_w is None:
        candidates = search(model, cell, task.object_position_w[0], followed.position_w[knots], seed)
    else:
        transform = anchor(task.object_position_w[0], task.object_quaternion_w[0], *object_pose_w)
        candidates = [anchored(model, transform, seed)]
    fit = _Fit(task, cell, model, knots, max_time_scale, smoothed_by)
    best: PlacedTask[Task] | None = None
    reasons = []
    for one in _apart([c for c in candidates if not c.why])[:TRIED]:
        placed = fit.follow(one, max_time_scale if best is None else best.time_scale)
        if isinstance(placed, PlacedTask):
            best = placed
            if best.time_scale <= FAST_ENOUGH:
                break
        else:
            reasons.append(placed)
    if best is not None:
        return dataclasses.replace(best, transform=best.transform.after(centre))
    where = "where the object lies" if object_pose_w is not None else "anywhere"
    remedy = "move the object towards the middle of the workspace, or choose another recording" if object_pose_w is not None else "choose another recording"
    raise RefusedError(f"{reference.name} cannot be placed {where} in cell {cell.name}: {(reasons or [candidates[0].why])[0]}.", remedy=remedy + ".")


def _smoothed_by(task: Reference | Demonstration) -> float:
    """Largest displacement of a wrist target by smoothing, m."""
    if not isinstance(task, Demonstration):
        return 0.0
    before, _ = wrist_path(task.reference, task.targets)
    after, _ = wrist_path(task.reference, smooth_wrist(task, WRIST_SMOOTHING).targets)
    return float(np.linalg.norm(after - before, axis=1).max())


def _ease(reference: Reference) -> int:
    """``EASE``, or 0 where the reference begins at rest by itself."""
    position, _ = wrist_path(reference, reference.hand[:2])
    return EASE if np.linalg.norm(position[1] - position[0]) > AT_REST * reference.period else 0


def _apart(candidates: list[Candidate]) -> list[Candidate]:
    """Those of ``candidates`` that lie apart from every better one."""
    kept: list[Candidate] = []
    for c in candidates:
        t = c.transform
        near = [np.hypot(t.x - k.transform.x, t.y - k.transform.y) < APART[0] and abs(_turn(t.yaw - k.transform.yaw)) < APART[1] for k in kept]
        if not any(near):
            kept.append(c)
    return kept


def _turn(angle: float) -> float:
    return math.remainder(angle, 2.0 * math.pi)


class _Fit(Generic[Task]):
    """Checks candidates on the whole path."""

    def __init__(self, task: Task, cell: CellConfig, model: ReachModel, knots: NDArray[np.int64], max_time_scale: float, smoothed_by: float) -> None:
        self._task: Task = task
        self._cell, self._model, self._knots = cell, model, knots
        self._max_time_scale, self._smoothed_by = max_time_scale, smoothed_by
        self._arm = model.inverse.kinematics.arm
        self._collides = CellCollisions(cell, hand_and_table=False)
        self._wrist_to_arm = WristToArm(cell)

    def follow(self, chosen: Candidate, below: float) -> PlacedTask[Task] | str:
        """The placed task, slowed down less than ``below`` times, or the reason why this candidate does not do."""
        moved = move(self._task, chosen.transform)
        n = len(moved.hand) - 1
        followed = Followed(moved)
        joints = self._joint_path(followed, _interpolate(np.arange(n + 1), self._knots, chosen.q))
        touching = self._touching(followed, joints)
        if touching:
            return touching
        factor, ease, lag = self._slowdown(joints), _ease(followed.reference), ""
        while factor < below:
            rows = slow_rows(n, factor, ease)
            slowed = sample(moved, rows)
            followed = Followed(slowed)
            plan = self._joint_path(followed, _interpolate(rows, np.arange(n + 1), joints))
            stream = self._stream(followed, plan)
            if _within(stream.position_error, POSITION_LIMIT) and _within(stream.rotation_error, ROTATION_LIMIT):
                return PlacedTask(slowed, chosen.transform, (len(rows) - 1) / n, stream.q, self._figures(stream))
            worst = int(np.argmax(stream.position_error))
            lag = f": the arm lags {1e3 * stream.position_error[worst]:.0f} mm behind the wrist at {worst / (len(rows) - 1):.0%} of the path"
            factor *= SLOWER
        return f"it would have to be slowed down {factor:.1f} times (at most {self._max_time_scale:g} times is allowed){lag}"

    def _joint_path(self, followed: Followed, guess: Floats) -> Floats:
        """(T, 7): joint positions at every wrist pose, near ``guess``."""
        return self._model.inverse.refine(guess, followed.position_w, to_matrix(followed.quaternion_w), iterations=8, posture=guess).q

    def _touching(self, followed: Followed, joints: Floats) -> str:
        for k in self._knots:
            found = self._collides(joints[k], followed.hand[k, 6:])
            if found:
                return f"{found} would touch at {k / self._knots[-1]:.0%} of the path"
        return ""

    def _slowdown(self, joints: Floats) -> float:
        """Factor by which the joint path must be slowed down for its velocities, at least 1; accelerations are left to the stream's judgement."""
        v = np.gradient(joints, self._wrist_to_arm.period, axis=0)
        least, greatest = self._arm.velocity_bounds(joints)
        allowed = np.minimum(self._cell.arm.velocity_fraction * self._arm.velocity, np.where(v > 0.0, greatest, -least))
        # The 98th percentile: a single step that is too fast is caught up with.
        return max(1.0, float(np.percentile((np.abs(v) / np.maximum(allowed, 1e-6)).max(axis=1), 98)))

    def _stream(self, followed: Followed, plan: Floats) -> _Stream:
        """Follow the path as the robot will."""
        self._wrist_to_arm.reset(plan[0])
        poses = zip(followed.position_w, followed.quaternion_w, plan, strict=True)
        commands = [self._wrist_to_arm.command(p, q, posture=j) for p, q, j in poses]
        return _Stream(
            q=np.array([c.q for c in commands]),
            position_error=np.array([c.position_error for c in commands]),
            rotation_error=np.array([c.rotation_error for c in commands]),
            limited=sum(c.limited for c in commands),
        )

    def _figures(self, stream: _Stream) -> Placement:
        v = np.diff(stream.q, axis=0) / self._wrist_to_arm.period
        a = np.diff(v, axis=0) / self._wrist_to_arm.period
        return Placement(
            max_velocity_fraction=float((np.abs(v) / self._arm.velocity).max()),
            max_acceleration_fraction=float((np.abs(a) / self._arm.acceleration).max()),
            min_limit_margin=float(np.minimum(stream.q - self._arm.lower, self._arm.upper - stream.q).min()),
            min_manipulability=float(self._model.inverse.kinematics.manipulability(stream.q).min()),
            min_table_clearance=self._model.table_clearance(stream.q),
            max_position_error=float(stream.position_error.max()),
            max_rotation_error=float(stream.rotation_error.max()),
            limited_ticks=stream.limited,
            smoothed_by=self._smoothed_by,
        )


@dataclasses.dataclass(frozen=True)
class _Stream:
    """What came out of following a path: a row per control step."""

    q: Floats
    position_error: Floats
    rotation_error: Floats
    limited: int


def _within(errors: Floats, limits: tuple[float, float]) -> bool:
    return bool(np.percentile(errors, 95) <= limits[0] and errors.max() <= limits[1])


def _interpolate(at: NDArray[np.generic], known: NDArray[np.generic], q: Floats) -> Floats:
    """Joint positions (T, 7) at ``at`` (T,) between rows ``q`` (K, 7) known at ``known`` (K,), linearly."""
    return np.stack([np.interp(at.astype(np.float64), known.astype(np.float64), q[:, j]) for j in range(q.shape[1])], axis=1)
