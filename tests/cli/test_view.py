"""``dextrack view``: a picture of whatever holds a motion, or a page of it. What the page shows is tested in ``tests/evaluation/test_viewer_page.py``."""

from __future__ import annotations

import re
import socket
import urllib.request
import webbrowser
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from dextrack.cli import main
from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.evaluation.viewer.server import Session
from dextrack.hands import load_hand
from dextrack.objects.spec import ObjectSpec
from dextrack.references.recording import Recording
from dextrack.references.reference import Reference


@pytest.fixture
def files(data_folder: Path) -> Path:
    """A recording, a reference and a demonstration of a lifted box, in an installed data set."""
    folder = data_folder / "made"
    mesh = trimesh.creation.box((0.05, 0.05, 0.08))
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces, dtype=np.int32)
    ObjectSpec("box", vertices, faces, ((vertices, faces),), mass=0.1).save(folder / "objects" / "box.npz")
    up = np.interp(np.arange(30), [5, 20, 29], [0.0, 0.1, 0.1])
    position = np.stack([0.0 * up, 0.0 * up, 0.04 + up], axis=1)
    quaternion = np.tile([1.0, 0.0, 0.0, 0.0], (30, 1))
    keypoints = position[:, None] + np.linspace([-0.12, 0.0, 0.08], [0.05, 0.0, 0.02], 21)
    Recording("lift", "box", "right", np.arange(30) / 50, keypoints, position, quaternion).save(folder / "recordings" / "lift.npz")
    hand = load_hand("leap_right")
    theta = np.zeros((30, 22))
    theta[:, :3] = position + [-0.12, 0.0, 0.08]
    theta[:, 6:] = hand.rest
    reference = Reference("lift", hand.name, "box", hand.joint_names, np.array([1.0, 0.0, 0.0, 0.0]), theta, position, quaternion, keypoints)
    reference.save(folder / "lift_reference.npz")
    store.save(folder / "d.h5", Demonstration(reference, theta[1:], theta, 0 * theta, position, quaternion, {}, {}, {}))
    return folder


@pytest.mark.parametrize(("what", "rows"), [("lift", 1), ("{}/recordings/lift.npz", 1), ("{}/lift_reference.npz", 2), ("{}/d.h5", 3), ("{}/d.h5:lift", 3)])
def test_each_kind_of_motion_becomes_a_strip(files: Path, tmp_path: Path, what: str, rows: int) -> None:
    png = tmp_path / "strip.png"
    assert main(["view", what.format(files), "--png", str(png), "--width", "96"]) == 0
    with Image.open(png) as image:
        assert image.width > 6 * 96
        assert rows * 72 < image.height < (rows + 1) * 72 + 40
        assert np.asarray(image).std() > 20


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("lift_that_is_not_there", "not installed"),
        ("{}/objects/box.npz", "not a recording"),
        ("{}/d.h5:other", "names 0 demonstrations"),
        ("{}/none.h5", "no such file"),
    ],
)
def test_what_holds_no_motion_is_refused_in_one_line(files: Path, tmp_path: Path, what: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    png = tmp_path / "strip.png"
    assert main(["view", what.format(files), "--png", str(png)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Remedy" in error
    assert not png.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lift_that_is_not_there"], "not installed"),
        (["{}/objects/box.npz"], "not a recording"),
        (["{}/d.h5", "--name", "other"], "names 0 demonstrations"),
        (["{}/d.h5:lift", "--name", "lift"], "named twice"),
        (["lift", "--name", "lift"], "only a file of demonstrations"),
        (["{}/none.h5"], "no such file"),
        (["{}/words.txt"], "words.txt"),
        (["lift", "--port", "-1"], "--port -1"),
        (["lift", "--host", "no.such.host.invalid"], "no address"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(files: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "words.txt").write_text("no arrays")
    assert main(["view", *(a.format(files) for a in arguments)]) == 2
    out, error = capsys.readouterr()
    assert says in error and "Remedy" in error and error.count("\n") == 1
    assert out == ""


def test_a_port_in_use_is_refused_with_a_remedy(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["view", "lift", "--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert f"another program listens on 127.0.0.1:{port}" in error and "--port 0" in error


def test_it_listens_on_this_machine_alone_and_opens_nothing(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The default host answers, no browser is called, and Ctrl-C is success."""
    opened: list[str] = []
    seen: list[tuple[str, bytes]] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)

    def interrupted(session: Session) -> str:
        address = re.search(r"http://(\S+):(\d+) shows lift\.", capsys.readouterr().out)
        assert address
        with urllib.request.urlopen(address.group()[: -len(" shows lift.")], timeout=30) as page:
            seen.append((address.group(1), page.read(2000)))
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "play_until_another_is_chosen", interrupted)
    assert main(["view", "lift", "--port", "0"]) == 0
    assert seen[0][0] == "127.0.0.1" and b"<html" in seen[0][1]
    assert opened == []
    assert main(["view", "lift", "--port", "0", "--open"]) == 0
    assert len(opened) == 1


def test_leaving_this_machine_is_warned_of(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(session: Session) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "play_until_another_is_chosen", interrupted)
    assert main(["view", "lift", "--port", "0", "--host", "0.0.0.0"]) == 0
    assert "whoever reaches 0.0.0.0 sees it" in capsys.readouterr().err
