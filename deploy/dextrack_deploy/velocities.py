"""Velocities by finite difference of stamped samples (paper, real-world set-up). The only velocities that a robot has, and what policies train on.

Rules
- Only samples with distinct stamps are differenced. A sample that comes again (a 30 Hz pose read at 60 Hz) keeps the last velocity: it must
  neither differentiate to zero nor make the next difference twice too large.
- A gap longer than ``max_gap_s`` gives velocity zero and ``valid`` False until the next difference: across a gap, a mean over half a second is no velocity.
- A sample older than the newest, and one that is not finite, is ignored and counted.
- The last velocity holds for ``hold_s`` after the newest sample; ``at`` gives zero after that.

Stamps are integers in nanoseconds, because a double loses microseconds of today's date.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack import rotations
from dextrack.errors import InputError

Floats = NDArray[np.float64]

NANOSECONDS = 1_000_000_000
"""In one second."""


class _Samples:
    """Decides which samples count, and counts those that do not."""

    def __init__(self, max_gap_s: float, hold_s: float) -> None:
        if not 0.0 < max_gap_s < np.inf or not 0.0 < hold_s < np.inf:
            raise InputError(f"velocity: max_gap_s is {max_gap_s} and hold_s {hold_s}.", remedy="give positive times in seconds.")
        self.max_gap_s = max_gap_s
        self.hold_s = hold_s
        self.reset()

    def reset(self) -> None:
        """Forget every sample."""
        self.stamp_ns: int | None = None
        self.valid = False
        self.duplicates = self.out_of_order = self.gaps = self.not_finite = 0

    def step(self, stamp_ns: int, finite: bool) -> float | None:
        """Seconds since the newest sample (inf for the first), when the sample counts; None when it is to be ignored."""
        if not finite:
            self.not_finite += 1
            return None
        last = self.stamp_ns
        if last is None:
            self.stamp_ns = stamp_ns
            return np.inf
        if stamp_ns == last:
            self.duplicates += 1
            return None
        if stamp_ns < last:
            self.out_of_order += 1
            return None
        self.stamp_ns = stamp_ns
        dt = (stamp_ns - last) / NANOSECONDS
        self.gaps += dt > self.max_gap_s
        return dt

    def fresh(self, now_ns: int) -> bool:
        """Whether the last velocity still holds at ``now_ns``."""
        return self.valid and self.stamp_ns is not None and now_ns - self.stamp_ns <= self.hold_s * NANOSECONDS


class _Difference:
    """What a velocity says of the samples that it came from."""

    def __init__(self, max_gap_s: float, hold_s: float) -> None:
        self._samples = _Samples(max_gap_s, hold_s)

    @property
    def valid(self) -> bool:
        """Whether the newest velocity is a difference: False before the second sample and after a gap."""
        return self._samples.valid

    @property
    def counts(self) -> dict[str, int]:
        """Samples that were duplicates, out_of_order, after gaps, not_finite."""
        s = self._samples
        return {"duplicates": s.duplicates, "out_of_order": s.out_of_order, "gaps": s.gaps, "not_finite": s.not_finite}


class FiniteDifference(_Difference):
    """Velocity of a vector, component by component: joint positions, or a point."""

    def __init__(self, size: int, max_gap_s: float = 0.1, hold_s: float = 0.1) -> None:
        """Difference vectors of ``size`` components.

        Raises:
            InputError: a time is not positive.
        """
        super().__init__(max_gap_s, hold_s)
        self.size = size
        self._values: Floats | None = None
        self._velocity = np.zeros(size)

    def update(self, stamp_ns: int, values: ArrayLike) -> Floats:
        """Take a sample, (size,) in any unit; return the newest velocity, (size,) in that unit per second.

        Raises:
            InputError: ``values`` has another shape.
        """
        x = np.asarray(values, dtype=np.float64)
        if x.shape != (self.size,):
            raise InputError(f"velocity: a sample has shape {x.shape}, not ({self.size},).", remedy="give the joints that the node was configured with.")
        dt = self._samples.step(stamp_ns, bool(np.isfinite(x).all()))
        if dt is not None:
            self._samples.valid = self._values is not None and dt <= self._samples.max_gap_s
            self._velocity = (x - self._values) / dt if self._samples.valid and self._values is not None else np.zeros(self.size)
            self._values = x.copy()
        return self._velocity.copy()

    def at(self, now_ns: int) -> Floats:
        """The velocity that holds at ``now_ns``: the newest one, or zero when it is older than ``hold_s`` or not valid."""
        return self._velocity.copy() if self._samples.fresh(now_ns) else np.zeros(self.size)

    def reset(self) -> None:
        """Forget every sample and count."""
        self._samples.reset()
        self._values = None
        self._velocity = np.zeros(self.size)


class PoseDifference(_Difference):
    """Linear and angular velocity of a body, both in the world frame."""

    def __init__(self, max_gap_s: float = 0.1, hold_s: float = 0.1) -> None:
        """Difference poses.

        Raises:
            InputError: a time is not positive.
        """
        super().__init__(max_gap_s, hold_s)
        self._pose: tuple[Floats, Floats] | None = None
        self._twist = (np.zeros(3), np.zeros(3))

    def update(self, stamp_ns: int, position_w: ArrayLike, quaternion_w: ArrayLike) -> tuple[Floats, Floats]:
        """Take a pose, (3,) m and (4,) wxyz of either sign; return (linear_w (3,) m/s, angular_w (3,) rad/s), the newest.

        The angular velocity is that of the shortest rotation from one pose to the next, so it is right up to half a turn per sample.

        Raises:
            InputError: a shape is wrong.
        """
        p, q = np.asarray(position_w, dtype=np.float64), np.asarray(quaternion_w, dtype=np.float64)
        if p.shape != (3,) or q.shape != (4,):
            raise InputError(f"velocity: a pose has shapes {p.shape} and {q.shape}.", remedy="give a position (3,) and a quaternion wxyz (4,).")
        usable = bool(np.isfinite(p).all() and np.isfinite(q).all() and np.linalg.norm(q) > 1e-6)
        dt = self._samples.step(stamp_ns, usable)
        if dt is not None:
            q = rotations.normalise(q)
            self._samples.valid = self._pose is not None and dt <= self._samples.max_gap_s
            self._twist = (np.zeros(3), np.zeros(3))
            if self._samples.valid and self._pose is not None:
                last_p, last_q = self._pose
                turn = rotations.to_rotation_vector(rotations.multiply(q, rotations.conjugate(last_q)))
                self._twist = ((p - last_p) / dt, turn / dt)
            self._pose = (p.copy(), q)
        return self._twist[0].copy(), self._twist[1].copy()

    def at(self, now_ns: int) -> tuple[Floats, Floats]:
        """The (linear_w, angular_w) that hold at ``now_ns``: the newest, or zeros when older than ``hold_s`` or not valid."""
        if not self._samples.fresh(now_ns):
            return np.zeros(3), np.zeros(3)
        return self._twist[0].copy(), self._twist[1].copy()

    def reset(self) -> None:
        """Forget every sample and count."""
        self._samples.reset()
        self._pose = None
        self._twist = (np.zeros(3), np.zeros(3))
