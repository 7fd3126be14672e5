"""Film strips: a few key frames of recording, reference and trial, one row each, from one camera."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from dextrack import rotations
from dextrack.evaluation import framing
from dextrack.evaluation.motion import Motion
from dextrack.evaluation.rendering import Camera, Image
from dextrack.evaluation.stage import Stage
from dextrack.files import replacing
from dextrack.objects import ObjectSpec, lowest_z
from dextrack.tracking.verdict import REFERENCE_LIFT

Floats = NDArray[np.float64]

ROW_COLOURS = {"recording": "#8a5a44", "reference": "#0072b2", "demonstration": "#d55e00", "trial": "#d55e00"}
"""Colours of the rows, the same as of the curves: blue and vermilion stay apart for colour-blind readers."""
JUDGED = ("trial", "demonstration")
"""Rows whose object is compared with the reference's."""
MOVED = 0.005
"""An object has moved when its position changed by this, m."""
GHOST_FROM = (0.015, float(np.deg2rad(12.0)))
"""Distance, m, and angle, rad, from which the place where the object should be is drawn too: nearer, it would only tint the object."""


@dataclasses.dataclass(frozen=True)
class KeyFrame:
    """A moment worth a picture."""

    label: str
    time: float
    """s, on the clock that the rows share."""


@dataclasses.dataclass(frozen=True)
class FilmStrip:
    """Pictures, rows by key frames."""

    rows: tuple[str, ...]
    keys: tuple[KeyFrame, ...]
    pictures: tuple[tuple[Image, ...], ...]
    notes: tuple[tuple[str, ...], ...]
    """What each picture's object does, in words: how far up it is, and how far from where it should be."""
    cameras: tuple[Camera, ...]
    """One per key frame."""

    def compose(self) -> Image:
        """One picture of all, with labels, (height, width, 3)."""
        return _compose(self)

    def save(self, path: Path) -> None:
        """Write ``compose()`` as a PNG, whole or not at all."""
        with replacing(Path(path)) as temporary:
            Picture.fromarray(self.compose()).save(temporary, format="PNG")


def key_frames(motion: Motion, obj: ObjectSpec) -> tuple[KeyFrame, ...]:
    """Six moments of ``motion``: start, contact, lift, mid, peak, end; evenly spaced ones for an object that is not lifted.

    ``contact`` is the last frame before the object moves, ``lift`` the first in which it counts as lifted.
    """
    n = len(motion.time)
    moved = np.linalg.norm(motion.object_position_w - motion.object_position_w[0], axis=1) > MOVED
    height = lowest_z(obj.vertices, motion.object_position_w, motion.object_quaternion_w)
    rising = height > max(0.0, height[0]) + REFERENCE_LIFT
    if not rising.any() or n < 12:
        frames = np.round(np.linspace(0, n - 1, 6)).astype(int)
        return tuple(KeyFrame(label, float(motion.time[f])) for label, f in zip(("start", "", "", "", "", "end"), frames, strict=True))
    contact, lift, peak = int(np.argmax(moved)) - 1, int(np.argmax(rising)), int(np.argmax(height))
    frames = np.array([0, contact, lift, (lift + peak) // 2, peak, n - 1])
    if peak >= n - 4:  # it ends at the top: put "mid" and "peak" apart from the end
        frames[3:5] = lift + (n - 1 - lift) // 3, lift + 2 * (n - 1 - lift) // 3
    labels = ("start", "contact", "lift", "mid", "peak" if frames[4] == peak else "carry", "end")
    frames = np.maximum.accumulate(np.clip(frames, 0, n - 1))
    return tuple(KeyFrame(label, float(motion.time[f])) for label, f in zip(labels, frames, strict=True))


def film_strip(rows: Sequence[Motion], obj: ObjectSpec, keys: Sequence[KeyFrame] | None = None, size: tuple[int, int] = (640, 480)) -> FilmStrip:
    """Take the pictures.

    Args:
        rows: what to show, on one clock; a row named ``trial`` or ``demonstration`` also shows, translucent, where the object of the row
            before it is.
        obj: the object that all rows move.
        keys: the moments; those of the first row that has a robot hand if not given.
        size: width and height of each picture, pixels.

    Raises:
        RefusedError: no OpenGL works here.
    """
    lead = next((m for m in rows if m.hand is not None), rows[0])
    keys = tuple(keys if keys is not None else key_frames(lead, obj))
    stage = Stage(obj, tuple(rows), *size)
    try:
        timed = [(m, [m.frame(k.time) for k in keys]) for m in rows]
        cameras = framing.choose(stage, timed, *size)
        pictures, notes = [], []
        for motion, frames in timed:
            ghost = lead if motion.label in JUDGED and motion is not lead else None
            pictures.append(tuple(_take(stage, camera, motion, frame, ghost, key.time) for frame, key, camera in zip(frames, keys, cameras, strict=True)))
            notes.append(tuple(_note(motion, frame, obj, ghost, key.time) for frame, key in zip(frames, keys, strict=True)))
    finally:
        stage.close()
    return FilmStrip(tuple(m.label for m in rows), keys, tuple(pictures), tuple(notes), cameras)


def _take(stage: Stage, camera: Camera, motion: Motion, frame: int, ghost: Motion | None, time: float) -> Image:
    wanted = None
    if ghost is not None:
        at = ghost.frame(time)
        off, turn = _error(motion, frame, ghost, at)
        if off > GHOST_FROM[0] or turn > GHOST_FROM[1]:
            wanted = ghost.object_position_w[at], ghost.object_quaternion_w[at]
    stage.show(motion, frame, wanted)
    return stage.picture(camera, None if motion.keypoints_w is None else motion.keypoints_w[frame])


def _error(motion: Motion, frame: int, ghost: Motion, at: int) -> tuple[float, float]:
    """Distance, m, and angle, rad, between the objects of two motions."""
    distance = float(np.linalg.norm(motion.object_position_w[frame] - ghost.object_position_w[at]))
    return distance, float(rotations.angle(motion.object_quaternion_w[frame], ghost.object_quaternion_w[at]))


def _note(motion: Motion, frame: int, obj: ObjectSpec, ghost: Motion | None, time: float) -> str:
    position, quaternion = motion.object_position_w[frame], motion.object_quaternion_w[frame]
    up = float(lowest_z(obj.vertices, position[None], quaternion[None])[0])
    text = f"{100 * max(up, 0.0):.0f} cm up"
    if ghost is None:
        return text
    off, turn = _error(motion, frame, ghost, ghost.frame(time))
    return f"{text}, off by {100 * off:.1f} cm, {np.rad2deg(turn):.0f}°"


def _compose(strip: FilmStrip) -> Image:
    height, width = strip.pictures[0][0].shape[:2]
    scale, gap, top = width / 640, 6, round(46 * width / 640)
    left = top
    canvas = Picture.new("RGB", (left + len(strip.keys) * (width + gap), top + len(strip.rows) * (height + gap)), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), round(24 * scale))
    for column, key in enumerate(strip.keys):
        text = f"{key.label}  {key.time:.2f} s" if key.label else f"{key.time:.2f} s"
        draw.text((left + column * (width + gap) + width // 2, top // 2), text, fill="#333333", font=font, anchor="mm")
    for row, label in enumerate(strip.rows):
        y = top + row * (height + gap)
        colour = ROW_COLOURS.get(label, "#555555")
        tag = Picture.new("RGB", (height, left - gap), colour)
        ImageDraw.Draw(tag).text((height // 2, (left - gap) // 2), label, fill="white", font=font, anchor="mm")
        canvas.paste(tag.rotate(90, expand=True), (0, y))
        for column, picture in enumerate(strip.pictures[row]):
            x = left + column * (width + gap)
            canvas.paste(Picture.fromarray(picture), (x, y))
            corner = (x + round(10 * scale), y + height - round(10 * scale))
            around = draw.textbbox(corner, strip.notes[row][column], font=font, anchor="ls")
            draw.rectangle((around[0] - 5, around[1] - 4, around[2] + 5, around[3] + 4), fill="white")
            draw.text(corner, strip.notes[row][column], fill="#222222", font=font, anchor="ls")

    return np.asarray(canvas)
