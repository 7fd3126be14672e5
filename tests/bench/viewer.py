"""Pictures of the viewer in headless Chromium: demonstrations of a store as `dextrack view` shows them.

    python tests/bench/viewer.py --store mined/demonstrations.h5 --show mug_lift:150 toothbrush_lift:120 wineglass_pass1:300

Each of ``--show`` is a demonstration and a frame. The first is shown with the page's panels, the others without. `dextrack view` runs as a process, and
Chromium (apt-get install chromium) opens what it serves; without a GPU a page takes seconds to minutes to draw.

Writes tests/bench/results/viewer_<hand>.png.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import time
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dextrack.evaluation.viewer.panel import CURVES_WIDTH, WIDTH  # noqa: E402
from dextrack.files import replacing  # noqa: E402
from tests.evaluation.chromium import Page, changed, opened  # noqa: E402

RESULTS = Path(__file__).parent / "results"
SIZE = (1440, 810)
"""Of the page, pixels."""
GAP = 6
SHADES = 255
"""Colours of the PNG."""


def shoot(page: Page, frame: int) -> Image.Image:
    """The page at ``frame``, once nothing in it changes any more."""
    last = int(re.search(r"of (\d+)", page.tab.get_by_text("frame 0 of").first.inner_text().split("frame 0")[-1])[1])
    page.wait_for_picture(lambda picture: bool(picture.std() > 5))
    if frame:
        page.go_to_frame(min(frame, last), last)
    before = page.picture()
    while True:
        time.sleep(2.0)
        after = page.picture()
        if changed(before, after) < 0.0005:
            break
        before = after
    return Image.open(io.BytesIO(page.tab.screenshot())).convert("RGB")


def scene(page: Page, shot: Image.Image, name: str, height: int) -> Image.Image:
    """The part between the panels, of the same shape whatever the page, with its name."""
    box = page.tab.locator("canvas").first.bounding_box()
    assert box is not None
    left, right = _between_panels(page, box)
    part = shot.crop((left, shot.height - height, right, shot.height))
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 20)
    ImageDraw.Draw(part).text((14, 12), name, fill="#1f2328", font=font)
    return part


def _between_panels(page: Page, box: dict[str, float]) -> tuple[int, int]:
    return max(round(box["x"]), CURVES_WIDTH + 4), min(round(box["x"] + box["width"]), SIZE[0] - WIDTH - 4)


def compose(first: Image.Image, others: list[Image.Image]) -> Image.Image:
    """The first picture, and the others in a row below it, as wide as it."""
    if not others:
        return first
    wide = (first.width - GAP * (len(others) - 1)) / len(others)
    rows = [other.resize((round(wide), round(other.height * wide / other.width)), Image.Resampling.LANCZOS) for other in others]
    canvas = Image.new("RGB", (first.width, first.height + GAP + max(r.height for r in rows)), "white")
    canvas.paste(first)
    for i, row in enumerate(rows):
        canvas.paste(row, (round(i * (wide + GAP)), first.height + GAP))
    return canvas


def main() -> None:
    """Serve, open, look, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--show", nargs="+", required=True, metavar="NAME:FRAME")
    parser.add_argument("--hand", default="leap_right")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    wanted = [(name, int(frame or 0)) for name, _, frame in (text.partition(":") for text in options.show)]
    command = [sys.executable, "-m", "dextrack.cli", "view", str(options.store), "--name", f"{wanted[0][0]}@{options.hand}", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = re.match(r"(http://\S+)", process.stdout.readline())
        assert address, "dextrack view did not start"
        whole: list[Image.Image] = []
        parts: list[Image.Image] = []
        with opened(address[1]) as page:
            page.tab.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})
            for name, frame in wanted:
                if whole:
                    page.tab.get_by_label("show", exact=True).click()
                    page.tab.get_by_role("option", name=f"{name}@{options.hand}").click()
                page.wait_for_text(f"demonstration: {name}")
                page.wait_for_text("frame 0 of")
                if not whole:
                    notice = page.tab.locator(".mantine-Notification-closeButton")
                    if notice.count():
                        notice.first.click()
                shot = shoot(page, frame)
                parts += [scene(page, shot, f"{name}, frame {frame}", 700)] if whole else []
                whole.append(shot)
                print(f"{name}: frame {frame}", flush=True)
    finally:
        # Not Ctrl-C: a shell's background jobs ignore it, and so would this one.
        process.terminate()
        process.wait(300)
    drawn = compose(whole[0], parts).quantize(SHADES, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    hand = options.hand.removesuffix("_right")
    with replacing(options.out / f"viewer_{hand}.png") as temporary:
        drawn.save(temporary, format="PNG", optimize=True)
    print(f"{np.asarray(drawn).shape}: {(options.out / f'viewer_{hand}.png').stat().st_size} bytes")


if __name__ == "__main__":
    main()
