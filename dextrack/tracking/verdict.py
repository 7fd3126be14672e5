"""Our verdict on a tracking result: lifted, held, clean, robust. Each part is judged and reported on its own.

The paper's success looks at mean errors, and a run that never lifts the object can pass it. Here is what we ask instead. Heights are those of the
lowest point of the posed mesh above the table top (z = 0). L is the set of frames in which the reference's height is at least 3 cm.

lifted
    The object is at least 2 cm up in every frame of L, but for the edges: where the reference leaves or returns to the table inside the sequence,
    the first or last 0.1 s of that stretch is not looked at, because a hand that follows 0.1 s late (a filter, an actuator, a fast lift) has
    lifted the object nonetheless. Of a stretch too short for that, its highest frame is looked at. There is no other allowance: one
    frame on the table in between fails. The fraction over all of L, edges included, is reported beside it.
    A reference that never reaches 3 cm asks for no lift: this part is then ``not applicable``, which is no pass in any count of lifts.
held
    The object's position error is at most 5 cm in at least 90 % of L (edges included) and in the last frame of L.
    Where L is empty, all frames of the sequence take its place.
clean
    The hand's penetration into the object has a 95th percentile over all frames of at most 5 mm, and there is none in the first frame.
robust
    At least 7 of 8 perturbed replays (mass +-20 %, friction +-20 %, object pose noise 5 mm / 3 deg) are lifted and held as well.

A part for which nothing was given is ``not measured``, and a verdict with such a part has not passed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.errors import InputError
from dextrack.objects import lowest_z
from dextrack.references.reference import Reference
from dextrack.tracking.metrics import fitting, translation_error

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

REFERENCE_LIFT = 0.03
"""Height from which the reference counts as lifted, m."""
OBJECT_LIFT = 0.02
"""Height that the tracked object needs there, m."""
EDGE = 0.1
"""Seconds at lift-off and set-down in which the object may lag behind the reference."""
HELD_ERROR = 0.05
"""Largest position error of a held object, m."""
HELD_FRACTION = 0.9
"""Fraction of the lifted frames that must be held."""
CLEAN_P95 = 0.005
"""Largest 95th percentile of penetration, m."""
CLEAN_FIRST = 1e-4
"""Largest penetration in the first frame that counts as none, m: the resolution of a contact distance between convex parts."""
ROBUST_FRACTION = 7 / 8
"""Fraction of the perturbed replays that must lift and hold."""

PASSED, FAILED, NOT_APPLICABLE, NOT_MEASURED = "passed", "failed", "not applicable", "not measured"
OK = (PASSED, NOT_APPLICABLE)
"""States of a part against which nothing speaks."""


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of a verdict."""

    state: str
    """``passed``, ``failed``, ``not applicable`` or ``not measured``."""
    why: str
    """The finding in words, with its numbers."""
    numbers: dict[str, float] = dataclasses.field(default_factory=dict)
    """What was measured, SI units."""

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it: passed, or not applicable."""
        return self.state in OK


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The four parts; see the module's docstring."""

    lifted: Part
    held: Part
    clean: Part
    robust: Part

    @property
    def lifts_and_holds(self) -> bool:
        """Whether the trajectory by itself does the task: what a perturbed replay or a single trial is judged by."""
        return self.lifted.ok and self.held.ok

    @property
    def passed(self) -> bool:
        """Whether all four parts passed (or do not apply). A part that was not measured has not passed."""
        return all(part.ok for part in (self.lifted, self.held, self.clean, self.robust))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: ``passed``, ``lifts_and_holds``, and for each part its ``state``, ``why`` and ``numbers``."""
        return {"passed": self.passed, "lifts_and_holds": self.lifts_and_holds, **dataclasses.asdict(self)}


def hull_vertices(vertices_o: ArrayLike) -> Floats:
    """The vertices (H, 3) of the convex hull of points (V, 3): the only ones that can be lowest. Flat point sets are returned whole."""
    from scipy.spatial import ConvexHull, QhullError

    points = np.asarray(vertices_o, dtype=np.float64)
    try:
        corners = np.asarray(ConvexHull(points).vertices)
    except QhullError:
        return points
    hull: Floats = points[corners]
    return hull


def looked_at(reference_height: Floats, edge_frames: int) -> Flags:
    """The frames (N + 1,) in which ``lifted`` looks: those of L less the edges of each stretch that begins or ends inside the sequence."""
    up = reference_height >= REFERENCE_LIFT
    last = len(up) - 1
    steps = np.diff(np.concatenate([[False], up, [False]]).astype(np.int8))
    keep = np.zeros_like(up)
    for start, stop in zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1, strict=True):
        first = start if start == 0 else start + edge_frames
        final = stop if stop == last else stop - edge_frames
        if first <= final:
            keep[first : final + 1] = True
        else:
            keep[start + int(np.argmax(reference_height[start : stop + 1]))] = True
    return keep


def judge_lifted(height: Floats, reference_height: Floats, period: float) -> Part:
    """Judge heights (N + 1,) of the object's lowest point against the reference's, m, at ``period`` s."""
    asked = reference_height >= REFERENCE_LIFT
    numbers = {"reference_peak_m": float(reference_height.max()), "peak_m": float(height.max())}
    if not asked.any():
        why = f"the reference never lifts the object {100 * REFERENCE_LIFT:.0f} cm (peak {100 * numbers['reference_peak_m']:.1f} cm)"
        return Part(NOT_APPLICABLE, why, numbers)
    up = height >= OBJECT_LIFT
    looked = looked_at(reference_height, round(EDGE / period))
    missed = np.flatnonzero(looked & ~up)
    numbers |= {"fraction": float(up[asked].mean()), "frames": float(asked.sum()), "frames_missed": float(len(missed))}
    if len(missed):
        n = int(missed[0])
        return Part(FAILED, f"{len(missed)} of {int(looked.sum())} frames not up, first frame {n} at {100 * height[n]:.1f} cm", numbers)
    return Part(PASSED, f"up in all {int(looked.sum())} frames looked at, peak {100 * height.max():.1f} cm", numbers)


def judge_held(position_error: Floats, reference_height: Floats) -> Part:
    """Judge position errors (N + 1,) in m over the reference's lifted frames (all frames where it has none)."""
    asked = reference_height >= REFERENCE_LIFT
    error = position_error[asked] if asked.any() else position_error
    numbers = {"fraction": float((error <= HELD_ERROR).mean()), "last_m": float(error[-1]), "worst_m": float(error.max())}
    ok = numbers["fraction"] >= HELD_FRACTION and numbers["last_m"] <= HELD_ERROR
    why = f"within {100 * HELD_ERROR:.0f} cm in {100 * numbers['fraction']:.0f} % of {len(error)} frames, {100 * numbers['last_m']:.1f} cm in the last"
    return Part(PASSED if ok else FAILED, why, numbers)


def judge_clean(penetration: ArrayLike | None) -> Part:
    """Judge the deepest hand-object penetration of each frame, (N + 1,), m, 0 where they do not touch; None: not measured."""
    if penetration is None:
        return Part(NOT_MEASURED, "no penetration depths were given")
    depth = np.asarray(penetration, dtype=np.float64)
    if depth.ndim != 1 or not len(depth) or not np.isfinite(depth).all() or (depth < 0.0).any():
        raise InputError("penetration: it is not one finite depth of at least 0 m per frame.", remedy="give depths as positive numbers, 0 without contact.")
    numbers = {"p95_m": float(np.percentile(depth, 95)), "first_m": float(depth[0]), "worst_m": float(depth.max())}
    ok = numbers["p95_m"] <= CLEAN_P95 and numbers["first_m"] <= CLEAN_FIRST
    why = f"penetration p95 {1e3 * numbers['p95_m']:.1f} mm, {1e3 * numbers['first_m']:.2f} mm in the first frame"
    return Part(PASSED if ok else FAILED, why, numbers)


def judge_robust(replays: Sequence[bool] | None) -> Part:
    """Judge whether enough of the perturbed replays lifted and held; None or none: not measured."""
    if not replays:
        return Part(NOT_MEASURED, "no perturbed replays were given")
    required, count = math.ceil(ROBUST_FRACTION * len(replays) - 1e-9), sum(bool(r) for r in replays)
    numbers = {"survived": float(count), "replays": float(len(replays)), "required": float(required)}
    return Part(PASSED if count >= required else FAILED, f"{count} of {len(replays)} perturbed replays lift and hold, {required} required", numbers)


def judge(
    reference: Reference,
    hull_o: ArrayLike,
    object_position_w: ArrayLike,
    object_quaternion_w: ArrayLike,
    penetration: ArrayLike | None = None,
    replays: Sequence[bool] | None = None,
) -> Verdict:
    """Judge one trajectory against its reference, frame n against frame n.

    Args:
        reference: what was to be tracked.
        hull_o: (H, 3), m, the object's hull vertices (``hull_vertices(object.vertices)``; all vertices do as well).
        object_position_w: (N + 1, 3), m.
        object_quaternion_w: (N + 1, 4), wxyz, unit.
        penetration: (N + 1,), m, see ``judge_clean``.
        replays: for each perturbed replay, the ``lifts_and_holds`` of its own verdict.

    Raises:
        InputError: an array does not fit the reference or is not finite.
    """
    p = fitting(reference, "object_position_w", object_position_w)
    q = fitting(reference, "object_quaternion_w", object_quaternion_w)
    if penetration is not None and np.shape(penetration) != (len(p),):
        raise InputError(f"penetration: it has shape {np.shape(penetration)}, not ({len(p)},).", remedy="give one depth per frame of the reference.")
    hull = np.asarray(hull_o, dtype=np.float64)
    reference_height = lowest_z(hull, reference.object_position_w, reference.object_quaternion_w)
    return Verdict(
        lifted=judge_lifted(lowest_z(hull, p, q), reference_height, reference.period),
        held=judge_held(translation_error(p, reference.object_position_w), reference_height),
        clean=judge_clean(penetration),
        robust=judge_robust(replays),
    )
