"""The poster of failures: every failed task on one sheet, a card each, in the order of their causes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from dextrack.evaluation import failure_table
from dextrack.evaluation.failure_table import Entry
from dextrack.evaluation.gallery import Exhibit
from dextrack.evaluation.rendering import Image
from dextrack.evaluation.results import Result
from dextrack.files import replacing
from dextrack.mining import failure

COLOURS = {
    failure.UNREACHABLE: "#57606a",
    failure.NEVER: "#8c6d1f",
    failure.TABLE: "#8a5a44",
    failure.TORQUE: "#6f42c1",
    failure.EJECTED: "#b3261e",
    failure.SLIPPED: "#c24e00",
    failure.ASTRAY: "#0e7490",
    failure.LATE: "#0072b2",
    failure.ROTATED: "#3b5bdb",
    failure.PENETRATING: "#a3247a",
    failure.FRAGILE: "#00664c",
    failure_table.NOT_MINED: "#1f2328",
    failure_table.UNEXPLAINED: "#6e4c00",
}
"""Of the causes; white text is legible on each."""
COLUMNS = 5
PICTURE = (152, 114)
"""Width and height of one of a card's two pictures, pixels."""
_INK, _SOFT, _LINE = "#1f2328", "#424a53", "#c9cdd2"
_GAP, _HEAD, _TEXT_LINES, _LEADING = 12, 21, 3, 14
_CARD = (2 * PICTURE[0] + 2, _HEAD + PICTURE[1] + 5 + _TEXT_LINES * _LEADING)
_SHADES = 96
"""Colours of the PNG: without it, a sheet of sixty cards takes megabytes."""


@dataclasses.dataclass(frozen=True)
class _Fonts:
    plain: ImageFont.FreeTypeFont
    small: ImageFont.FreeTypeFont
    bold: ImageFont.FreeTypeFont
    title: ImageFont.FreeTypeFont


def poster(results: Sequence[Result], exhibits: Sequence[Exhibit]) -> Image:
    """One picture of everything in ``results`` that failed, (height, width, 3).

    A card says task, cause and finding, and shows what failed 0.25 s before the failure and at it; a failure without an exhibit has a card of words.
    """
    failed, shown = failure_table.entries(results), {e.task: e for e in exhibits}
    fonts = _Fonts(_font(12), _font(11), _font(13, bold=True), _font(19, bold=True))
    width = COLUMNS * (_CARD[0] + _GAP) + _GAP
    head = _header(width, failure_table.told(results, failed), failure_table.counts(failed), fonts)
    rows = -(-len(failed) // COLUMNS)
    canvas = Picture.new("RGB", (width, head.height + rows * (_CARD[1] + _GAP) + _GAP), "white")
    canvas.paste(head)
    for i, entry in enumerate(failed):
        row, column = divmod(i, COLUMNS)
        canvas.paste(_card(entry, shown.get(entry.task), fonts), (_GAP + column * (_CARD[0] + _GAP), head.height + row * (_CARD[1] + _GAP)))
    return np.asarray(canvas)


def save(path: Path, results: Sequence[Result], exhibits: Sequence[Exhibit]) -> None:
    """Write ``poster`` as a PNG of few colours, whole or not at all."""
    few = Picture.fromarray(poster(results, exhibits)).quantize(_SHADES, Picture.Quantize.FASTOCTREE, dither=Picture.Dither.NONE)
    with replacing(Path(path)) as temporary:
        few.save(temporary, format="PNG", optimize=True)


def _header(width: int, told: str, counts: dict[str, int], fonts: _Fonts) -> Picture.Image:
    """What the sheet is, and a chip for each cause."""
    places, x, y = [], _GAP, 44
    for cause, count in counts.items():
        text = f"{cause}  {count}"
        wide = round(fonts.bold.getlength(text)) + 18
        if x + wide > width - _GAP:
            x, y = _GAP, y + 30
        places.append((x, y, wide, text, COLOURS[cause] if count else "#9aa1a9"))
        x += wide + 8
    canvas = Picture.new("RGB", (width, y + 66), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((_GAP, 12), told, fill=_INK, font=fonts.title)
    for x, y, wide, text, colour in places:
        draw.rounded_rectangle((x, y, x + wide, y + 23), 5, fill=colour)
        draw.text((x + 9, y + 11.5), text, fill="white", font=fonts.bold, anchor="lm")
    said = "Left: shortly before the failure. Right: at it. Blue: where the object should be. "
    said += "Not robust: a perturbed replay that fails. Refused: the recording."
    draw.text((_GAP, y + 36), said, fill=_SOFT, font=fonts.plain)
    return canvas


def _card(entry: Entry, exhibit: Exhibit | None, fonts: _Fonts) -> Picture.Image:
    card = Picture.new("RGB", _CARD, "white")
    draw = ImageDraw.Draw(card)
    draw.rectangle((0, 0, _CARD[0], _HEAD - 1), fill=COLOURS[entry.cause])
    draw.text((6, _HEAD / 2), entry.name, fill="white", font=fonts.bold, anchor="lm")
    free = _CARD[0] - 24 - fonts.bold.getlength(entry.name)
    label = next((s for s in (entry.label, entry.perturbed, entry.cause) if s and fonts.small.getlength(s) <= free), "")
    draw.text((_CARD[0] - 6, _HEAD / 2), label, fill="white", font=fonts.small, anchor="rm")
    for place, (picture, time) in enumerate(_pictures(exhibit)):
        x = place * (PICTURE[0] + 2)
        card.paste(Picture.fromarray(picture).resize(PICTURE, Picture.Resampling.LANCZOS), (x, _HEAD))
        draw.text((x + 5, _HEAD + 3), f"{time:.2f} s", fill=_INK, font=fonts.small)
    if exhibit is None:
        draw.rectangle((0, _HEAD, _CARD[0] - 1, _HEAD + PICTURE[1] - 1), outline=_LINE)
        draw.text((_CARD[0] / 2, _HEAD + PICTURE[1] / 2), "no picture", fill=_SOFT, font=fonts.plain, anchor="mm")
    text = wrapped(entry.finding, fonts.small, _CARD[0] - 4, _TEXT_LINES)
    draw.multiline_text((2, _HEAD + PICTURE[1] + 3), text, fill=_SOFT, font=fonts.small, spacing=_LEADING - 11)
    return card


def _pictures(exhibit: Exhibit | None) -> list[tuple[Image, float]]:
    return [] if exhibit is None else [(exhibit.strip.pictures[-1][i], exhibit.strip.keys[i].time) for i in exhibit.telling]


def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    file = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / file), size)


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int, most: int) -> str:
    """``text`` broken into at most ``most`` lines of at most ``width`` pixels, with an ellipsis where it is cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    if len(lines) > most:
        lines = lines[:most]
        while lines[-1] and font.getlength(lines[-1] + " …") > width:
            lines[-1] = lines[-1].rpartition(" ")[0]
        lines[-1] += " …"
    return "\n".join(lines)
