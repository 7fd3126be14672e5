"""TrialResult: a trial laid over its placed reference, frame by frame, with metrics and verdict.

Frame n of the reference belongs to the moment at which the n-th target was due: the first target was published at frame 0. A run that was paused or
slowed is laid over it frame by frame too; what an object does by itself, falling for one, does not slow down. A trial that ended early
is measured over the frames that it reached, and its verdict says so: what was not reached has failed.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dextrack.objects import ObjectSpec, lowest_z
from dextrack.references.reference import Reference
from dextrack.tracking import metrics as tracking_metrics
from dextrack.tracking import verdict as tracking_verdict
from dextrack.tracking.verdict import FAILED, Part, Verdict
from dextrack_deploy.trial_log import Poses, Stamps, TrialData

Floats = NDArray[np.float64]

GAP_S = 0.15
"""A stream without a sample for longer than this has a gap: frames in it and after it are not measured, s."""


@dataclasses.dataclass(frozen=True)
class TrialResult:
    """What a trial did, at the frames of its reference that it reached."""

    reference: Reference
    """The placed reference, cut after the last frame reached."""
    frames: int
    """Frames that the whole placed reference has."""
    source: str
    """``truth`` or ``estimate``: which pose of the object is measured."""
    start_ns: int
    """When frame 0 was, ns since the epoch."""
    hand: Floats
    """(n, 22): theta reached, columns as ``reference.joint_names``."""
    arm: Floats | None
    """(n, 7): joints of the arm as in the log, rad; None where the log has none."""
    object_position_w: Floats
    """(n, 3), m."""
    object_quaternion_w: Floats
    """(n, 4), wxyz."""
    height: Floats
    """(n,) of the object's lowest point, m."""
    reference_height: Floats
    """(n,) of the reference's."""
    metrics: tracking_metrics.Metrics
    verdict: Verdict

    @property
    def complete(self) -> bool:
        """Whether every frame was reached."""
        return len(self.hand) == self.frames

    @property
    def time(self) -> Floats:
        """(n,) s since frame 0."""
        out: Floats = np.arange(len(self.hand), dtype=np.float64) * self.reference.period
        return out


def measure(data: TrialData, placed: Reference, obj: ObjectSpec, source: str = "") -> TrialResult | str:
    """Lay ``data`` over the ``placed`` reference of ``obj``.

    Args:
        data: the trial as it was recorded.
        placed: what was to be tracked.
        obj: its object.
        source: ``truth`` or ``estimate``, the pose of the object that is measured; empty: the truth where the log has it.

    Returns:
        The result; or, in words, why there is none.
    """
    interval = data.run_interval_ns()
    if not len(data.target_times_ns):
        return "the trial never ran: no target was published" if interval is None else "the log holds no target of the run"
    source = source or ("truth" if len(data.truth.stamp_ns) else "estimate")
    poses = data.truth if source == "truth" else data.object_pose
    if len(poses.stamp_ns) < 2 or len(data.state.stamp_ns) < 2:
        return f"the log holds too few {'object poses' if len(poses.stamp_ns) < 2 else 'hand states'} to measure anything"
    start = int(data.target_times_ns[0])
    times = data.frame_times_ns(len(placed.hand), placed.period)
    # The cell holds after the run, so samples go on: a frame counts while targets were given, and for one period after the last.
    end = int(data.target_times_ns[-1]) + round(2.0 * placed.period * 1e9)
    reached = int(min((times <= limit).sum() for limit in (end, _unbroken_until(poses.stamp_ns, start), _unbroken_until(data.state.stamp_ns, start))))
    if reached < 2:
        return "the trial ended before its second frame"
    times, cut = times[:reached], cut_reference(placed, reached)
    position, quaternion = poses.at(times)
    hand = data.state.at(times, placed.joint_names)
    hull = tracking_verdict.hull_vertices(obj.vertices)
    return TrialResult(
        reference=cut,
        frames=len(placed.hand),
        source=source,
        start_ns=start,
        hand=hand,
        arm=data.arm.at(times, data.arm.names) if len(data.arm.stamp_ns) else None,
        object_position_w=position,
        object_quaternion_w=quaternion,
        height=lowest_z(hull, position, quaternion),
        reference_height=lowest_z(hull, cut.object_position_w, cut.object_quaternion_w),
        metrics=tracking_metrics.measure(cut, hand, position, quaternion),
        verdict=_judge(placed, cut, hull, position, quaternion),
    )


def cut_reference(reference: Reference, frames: int) -> Reference:
    """The first ``frames`` >= 2 states of ``reference``."""
    fields = ("hand", "object_position_w", "object_quaternion_w", "keypoints_w")
    return dataclasses.replace(reference, **{f: getattr(reference, f)[:frames] for f in fields})


def estimate_error(poses: Poses, truth: Poses) -> tuple[Floats, Floats] | None:
    """Distances in m and angles in rad (n,) of the estimated ``poses`` from the ``truth`` at their own stamps; None where either is missing."""
    if not len(poses.stamp_ns) or len(truth.stamp_ns) < 2:
        return None
    inside = (poses.stamp_ns >= truth.stamp_ns[0]) & (poses.stamp_ns <= truth.stamp_ns[-1])
    if not inside.any():
        return None
    position, quaternion = truth.at(poses.stamp_ns[inside])
    distance = tracking_metrics.translation_error(poses.position_w[inside], position)
    return distance, tracking_metrics.rotation_error(poses.quaternion_w[inside], quaternion)


def _unbroken_until(stamps: Stamps, start: int) -> int:
    """The last stamp before the first gap that ends after ``start``, with half a gap's grace."""
    gap = round(GAP_S * 1e9)
    breaks = np.flatnonzero((np.diff(stamps) > gap) & (stamps[1:] > start))
    last = stamps[breaks[0]] if len(breaks) else stamps[-1]
    return int(last) + gap // 2


def _judge(placed: Reference, cut: Reference, hull: Floats, position: Floats, quaternion: Floats) -> Verdict:
    """Verdict over the frames reached; parts that the trial did not live to show have failed."""
    verdict = tracking_verdict.judge(cut, hull, position, quaternion)
    if len(cut.hand) == len(placed.hand):
        return verdict
    why = f"the trial reached {len(cut.hand)} of {len(placed.hand)} frames"
    lifted, held = (Part(FAILED, f"{why}; until then: {part.why}", part.numbers) for part in (verdict.lifted, verdict.held))
    return dataclasses.replace(verdict, lifted=lifted, held=held)
