"""The built wheel, installed outside the checkout, holds the code and the assets."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

LOAD_HAND = """
import sys
import dextrack, dextrack_assets, dextrack_calibration, dextrack_deploy
from dextrack.hands import load_hand
hand = load_hand("leap_right")
for module in (dextrack, dextrack_assets, dextrack_calibration, dextrack_deploy):
    assert module.__file__.startswith(sys.argv[1]), module.__file__
import mujoco
model = mujoco.MjModel.from_xml_path(str(dextrack_assets.path("models", "leap_right", "leap_right.xml")))
print(hand.name, model.njnt)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = Path(__file__).resolve().parents[2]
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(root)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (built,) = folder.glob("dextrack_core-*.whl")
    return built


def test_wheel_holds_only_what_is_installed(wheel: Path, root: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"dextrack", "dextrack_deploy", "dextrack_calibration", "dextrack_assets"}
    shipped = subprocess.run(["git", "ls-files", "assets/dextrack_assets"], cwd=root, capture_output=True, text=True, check=True).stdout.split()
    assert shipped
    for name in shipped:
        assert name[len("assets/") :] in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_hand_loads_from_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    # -I keeps the working folder off the path; the editable install's own entry comes after the target, which is inserted first.
    code = "import sys; sys.path.insert(0, sys.argv[1]);" + LOAD_HAND
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    result = subprocess.run([sys.executable, "-I", "-c", code, str(target)], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    name, joints = result.stdout.split()
    assert name == "leap_right"
    assert int(joints) >= 16
