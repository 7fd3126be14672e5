"""The viewer's page in a real browser: `dextrack view` runs as a process, Chromium opens what it serves, and pictures are looked at."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dextrack import rotations
from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.objects import ObjectSpec
from dextrack.references.reference import Reference
from tests import synthetic
from tests.evaluation.chromium import changed, opened, orange

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

PART = {"state": "passed", "why": "up in all 20 frames looked at", "numbers": {}}


@pytest.fixture
def folder(data_folder: Path, box: ObjectSpec, reference: Reference) -> Path:
    """A box with a recording, a reference and two demonstrations of it."""
    box.save(data_folder / "made" / "objects" / "box.npz")
    recording = dataclasses.replace(synthetic.recording(), object_name="box")
    recording.save(data_folder / "made" / "recordings" / "box_lift.npz")
    plan = {"fingers": ["thumb"], "contact_points_o": [[0.025, 0.0, 0.0]], "contact_normals_o": [[1.0, 0.0, 0.0]], "onset": 10, "release": 50}
    known = dataclasses.replace(reference, diagnosis={**plan, "lift_m": 0.12, "opposition": 0.5, "warnings": ["the grasp will probably slip"]})
    known.save(data_folder / "made" / "references" / "up.npz")
    turned = np.tile(rotations.from_hinges([0.0, 0.0, 0.5]), (60, 1))
    for name, aside in (("up", 0.04), ("other", 0.0)):
        verdict = {"passed": False, "lifted": PART, "held": {**PART, "state": "failed", "why": "slipped away"}}
        position = reference.object_position_w + [aside, 0.0, 0.0]
        made = Demonstration(
            dataclasses.replace(known, name=name), known.hand[1:], known.hand, 0 * known.hand, position, turned, {"t_err_m": 0.04}, verdict, {}
        )
        store.save(data_folder / "made" / "d.h5", made)
    return data_folder / "made"


@contextlib.contextmanager
def viewing(*arguments: str) -> Iterator[str]:
    """The address that `dextrack view` gives; Ctrl-C ends it on leaving, without a word and with success."""
    command = [sys.executable, "-m", "dextrack.cli", "view", *arguments, "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    # Where pytest itself ignores Ctrl-C, as in the background of a shell, its children would too.
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )
    try:
        line = process.stdout.readline()
        found = re.match(r"(http://127\.0\.0\.1:\d+) shows .* Ctrl-C ends it\.", line)
        assert found, line + process.stderr.read()
        yield found.group(1)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=120)
        assert (process.returncode, out, error) == (0, "", "")
    finally:
        process.kill()
        process.communicate()


def test_a_demonstration_plays_in_the_page(folder: Path) -> None:
    with viewing(str(folder / "d.h5"), "--name", "up") as address, opened(address) as page:
        for text in ("demonstration: up", "The verdict did not pass", "slipped away", "position error", "rotation error", "frame 0 of 59"):
            page.wait_for_text(text)
        first = page.wait_for_picture(lambda picture: orange(picture) > 0.01)
        assert len(np.unique(first.reshape(-1, 3), axis=0)) > 500

        page.go_to_frame(40, 59)
        lifted = page.wait_for_picture(lambda picture: changed(first, picture) > 0.02 and orange(picture) > 0.01)
        page.tab.keyboard.press("l")
        page.wait_for_text("frame 41 of 59")
        page.tab.keyboard.press("Shift+J")
        page.wait_for_text("frame 31 of 59")
        page.tab.keyboard.press("k")
        page.wait_for_text("Pause")
        page.tab.keyboard.press("k")
        page.wait_for_text("Play")

        page.tab.keyboard.press("Home")
        page.wait_for_text("frame 0 of 59")
        page.wait_for_picture(lambda picture: changed(first, picture) < 0.2 * changed(lifted, picture))
        page.tab.get_by_label("object", exact=True).click()
        page.wait_for_picture(lambda picture: orange(picture) < 0.002)

        assert {address + "/"} == {url for url in page.asked if not url.startswith(("blob:", "data:"))}, "the page asked somebody else"
        assert page.errors == []


def test_another_demonstration_is_chosen_in_the_page(folder: Path) -> None:
    with viewing(str(folder / "d.h5")) as address, opened(address) as page:
        page.wait_for_text("demonstration: other")
        page.tab.get_by_label("show", exact=True).click()
        page.tab.get_by_role("option", name="up@leap_right").click()
        page.wait_for_text("demonstration: up")
        page.wait_for_picture(lambda picture: orange(picture) > 0.01)


@pytest.mark.parametrize(("what", "texts"), [("box_lift", ("recording: box_lift", "human, right")), ("references/up.npz", ("reference: up", "probably slip"))])
def test_recordings_and_references_are_shown(folder: Path, what: str, texts: tuple[str, ...]) -> None:
    with viewing(str(folder / what) if "/" in what else what) as address, opened(address) as page:
        for text in texts:
            page.wait_for_text(text)
        picture = page.wait_for_picture(lambda picture: orange(picture) > 0.01)
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 500
        assert page.errors == []
