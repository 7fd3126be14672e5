"""A page of the viewer in Debian's Chromium, without a display: what tests see of it."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page as Tab
from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 240.0
"""Seconds to wait for what a picture should show: WebGL is drawn by the processor here."""
QUIET = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking", "--disable-component-update", "--disable-sync")


class Page:
    """A tab, and every address it asked for."""

    def __init__(self, tab: Tab) -> None:
        self.tab, self.asked, self.errors = tab, [], []
        tab.on("request", lambda request: self.asked.append(request.url))
        tab.on("pageerror", lambda error: self.errors.append(str(error)))

    def picture(self) -> NDArray[np.uint8]:
        """Colours (height, width, 3) of the scene, between the panels."""
        box = self.tab.locator("canvas").first.bounding_box()
        assert box is not None
        # The notice that WebGL is drawn in software covers the upper part.
        clip = {"x": box["x"], "y": box["y"] + 0.3 * box["height"], "width": box["width"], "height": 0.7 * box["height"]}
        with Image.open(io.BytesIO(self.tab.screenshot(clip=clip))) as image:
            return np.asarray(image.convert("RGB"))

    def wait_for_picture(self, wanted: Callable[[NDArray[np.uint8]], bool]) -> NDArray[np.uint8]:
        """The first picture that is as ``wanted`` and stays so: meshes come one by one, and shadows after them."""
        deadline = time.monotonic() + PATIENCE
        before = self.picture()
        while True:
            time.sleep(1.0)
            picture = self.picture()
            if wanted(picture) and changed(before, picture) < 0.001:
                return picture
            if time.monotonic() > deadline:
                Image.fromarray(picture).save(kept := Path(tempfile.mkdtemp()) / "scene.png")
                raise AssertionError(f"the scene never looked as it should; what it looked like is in {kept}")
            before = picture

    def wait_for_text(self, text: str) -> None:
        self.tab.get_by_text(text, exact=False).first.wait_for(timeout=1e3 * PATIENCE)

    def go_to_frame(self, frame: int, last: int) -> None:
        """Type ``frame`` into the slider's field."""
        field = self.tab.locator(".mantine-NumberInput-input").first
        # Key by key as a person does: the field takes no notice of a text that is set at once just after its value was set from outside.
        field.click()
        self.tab.keyboard.press("Control+A")
        self.tab.keyboard.type(str(frame))
        field.blur()
        self.wait_for_text(f"frame {frame} of {last}")


@contextlib.contextmanager
def opened(address: str) -> Iterator[Page]:
    """The page at ``address``, once its scene is there."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, f"tests of the viewer's page need one of {', '.join(NAMES)}: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        page = Page(browser.new_page(viewport={"width": 1150, "height": 520}))
        page.tab.set_default_timeout(1e3 * PATIENCE)
        page.tab.goto(address)
        page.tab.locator("canvas").first.wait_for()
        yield page
        browser.close()


def orange(picture: NDArray[np.uint8]) -> float:
    """Share of the picture that has the object's colour, lit or in shade."""
    red, green, blue = (picture[..., i].astype(int) for i in range(3))
    return float(((red > 120) & (red > green + 35) & (green > blue + 35)).mean())


def changed(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """Share of the picture that is clearly another colour."""
    return float((np.abs(before.astype(int) - after).max(axis=-1) > 20).mean())
