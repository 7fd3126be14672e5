"""The failure gallery: what each failed task looked like when it failed, as film strips."""

from __future__ import annotations

import dataclasses

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.evaluation.film_strip import FilmStrip, KeyFrame, film_strip, key_frames
from dextrack.evaluation.motion import Motion, of_recording, of_reference, reached
from dextrack.mining.failure import Failure, seen
from dextrack.objects.spec import ObjectSpec
from dextrack.references.recording import Recording

AROUND = 0.25
"""Seconds between the moment of failure and the pictures before and after it."""


@dataclasses.dataclass(frozen=True)
class Exhibit:
    """One failed task in pictures."""

    task: str
    failure: Failure
    strip: FilmStrip
    """Rows ``reference`` and ``demonstration``; the last is the replay that failed, a perturbed one for ``not robust``. Of a refused task, ``recording``."""
    prediction: str = ""
    """What had been predicted, in words."""
    telling: tuple[int, int] = (1, 2)
    """Indices of the two key frames that tell most: before the failure, and at it."""


def exhibit(task: str, demonstration: Demonstration, obj: ObjectSpec, failure: Failure, prediction: str = "", width: int = 320, brief: bool = False) -> Exhibit:
    """Take the pictures of a failure; ``width`` is that of one picture, pixels, and ``brief`` asks for the two telling moments alone.

    Raises:
        RefusedError: no OpenGL works here.
    """
    signals = seen(demonstration, obj, failure)
    reference = of_reference(demonstration.reference)[1]
    shown = reached(demonstration.reference, signals.hand, signals.object_position_w, signals.object_quaternion_w, "demonstration")
    keys = moments(shown, failure, int(demonstration.reference.diagnosis.get("onset", 0)))
    telling = (0, 1) if brief else (1, 2)
    keys = keys[1:3] if brief else keys
    return Exhibit(task, failure, film_strip((reference, shown), obj, keys, (width, width * 3 // 4)), prediction, telling)


def exhibit_refused(task: str, recording: Recording, obj: ObjectSpec, failure: Failure, width: int = 320) -> Exhibit:
    """Pictures of a task that was never mined: the person's hand in the recording that was refused.

    Raises:
        RefusedError: no OpenGL works here.
    """
    motion = of_recording(recording)
    keys = key_frames(motion, obj)
    return Exhibit(task, failure, film_strip((motion,), obj, keys, (width, width * 3 // 4)), telling=(1, len(keys) - 2))


def moments(motion: Motion, failure: Failure, onset: int) -> tuple[KeyFrame, ...]:
    """Five moments in their order: as the object should begin to move, before the failure, at it, after it, and the end."""
    end = float(motion.time[-1])
    failed = float(motion.time[min(failure.frame, len(motion.time) - 1)])
    begin = min(float(motion.time[min(onset, len(motion.time) - 1)]), failed)
    before = max(begin, failed - AROUND)
    return (
        KeyFrame("onset", begin),
        KeyFrame("before", before),
        KeyFrame("failure", failed),
        KeyFrame("after", min(end, failed + AROUND)),
        KeyFrame("end", end),
    )
