"""The failure gallery: what each failed task looked like when it failed, as film strips and as one sheet."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.evaluation.film_strip import FilmStrip, KeyFrame, film_strip
from dextrack.evaluation.motion import Motion, of_reference, reached
from dextrack.evaluation.rendering import Image
from dextrack.files import replacing
from dextrack.mining.failure import Failure, seen
from dextrack.objects.spec import ObjectSpec

AROUND = 0.25
"""Seconds between the moment of failure and the pictures before and after it."""
_LABEL_WIDTH = 330


@dataclasses.dataclass(frozen=True)
class Exhibit:
    """One failed task in pictures."""

    task: str
    failure: Failure
    strip: FilmStrip
    """Rows ``reference`` and ``demonstration``; the last is the replay that failed, a perturbed one for ``not robust``."""
    prediction: str = ""
    """What had been predicted, in words."""


def exhibit(task: str, demonstration: Demonstration, obj: ObjectSpec, failure: Failure, prediction: str = "", width: int = 320) -> Exhibit:
    """Take the pictures of a failure; ``width`` is that of one picture, pixels.

    Raises:
        RefusedError: no OpenGL works here.
    """
    signals = seen(demonstration, obj, failure)
    reference = of_reference(demonstration.reference)[1]
    shown = reached(demonstration.reference, signals.hand, signals.object_position_w, signals.object_quaternion_w, "demonstration")
    keys = moments(shown, failure, int(demonstration.reference.diagnosis.get("onset", 0)))
    return Exhibit(task, failure, film_strip((reference, shown), obj, keys, (width, width * 3 // 4)), prediction)


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


def sheet(exhibits: Sequence[Exhibit], width: int = 200) -> Image:
    """All failures in one picture, one row each: task, cause, finding and prediction, and the failed replay's pictures ``width`` pixels wide."""
    height, gap = width * 3 // 4, 4
    small, bold = _font(13), _font(15, "DejaVuSans-Bold.ttf")
    columns = max((len(e.strip.keys) for e in exhibits), default=0)
    canvas = Picture.new("RGB", (_LABEL_WIDTH + columns * (width + gap), max(1, len(exhibits)) * (height + gap)), "white")
    draw = ImageDraw.Draw(canvas)
    for row, e in enumerate(exhibits):
        y = row * (height + gap)
        draw.text((8, y + 8), e.task.partition("@")[0], fill="#1f2328", font=bold)
        draw.text((8, y + 30), e.failure.cause, fill="#b23c00", font=bold)
        text = e.failure.why + (f"\npredicted: {e.prediction}" if e.prediction else "")
        draw.multiline_text((8, y + 54), _wrapped(draw, text, small, _LABEL_WIDTH - 16, 6), fill="#59616b", font=small, spacing=2)
        for column, (key, picture) in enumerate(zip(e.strip.keys, e.strip.pictures[-1], strict=True)):
            x = _LABEL_WIDTH + column * (width + gap)
            canvas.paste(Picture.fromarray(picture).resize((width, height), Picture.Resampling.LANCZOS), (x, y))
            draw.rectangle((x, y, x + width - 1, y + height - 1), outline="#b23c00" if key.label == "failure" else "#c9cdd2", width=2)
            draw.text((x + 6, y + 4), f"{key.label}  {key.time:.2f} s", fill="#333333", font=small)
    return np.asarray(canvas)


def save_sheet(path: Path, exhibits: Sequence[Exhibit]) -> None:
    """Write ``sheet`` as a PNG, whole or not at all."""
    with replacing(Path(path)) as temporary:
        Picture.fromarray(sheet(exhibits)).save(temporary, format="PNG", optimize=True)


def _font(size: int, file: str = "DejaVuSans.ttf") -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / file), size)


def _wrapped(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, width: int, most: int) -> str:
    """``text`` broken into at most ``most`` lines of at most ``width`` pixels."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lines.append("")
        for word in paragraph.split():
            longer = f"{lines[-1]} {word}".strip()
            if draw.textlength(longer, font=font) > width:
                lines.append(word)
            else:
                lines[-1] = longer
    return "\n".join(lines[:most] if len(lines) <= most else [*lines[: most - 1], lines[most - 1] + " …"])
