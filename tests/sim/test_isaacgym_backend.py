"""The Isaac Gym backend on a stand-in, in a process of its own: Isaac Gym must be imported before torch, which other tests have imported."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import trimesh

from dextrack.errors import InputError
from dextrack.hands import hand_names, load_hand
from dextrack.objects import ObjectSpec
from dextrack.sim.isaacgym_backend import make_isaacgym
from dextrack.sim.isaacgym_scene import shape_friction
from dextrack.sim.mjcf_facts import FILTER_BITS, armatures, collision_filters, untouchable
from dextrack.sim.object_urdf import write_object_urdf
from dextrack.sim.wrist_urdf import ROOT, floating_urdf

HERE = Path(__file__).parent
STAND_IN = HERE / "isaacgym_stand_in"
FILES = (HERE / "isaacgym_cases.py", HERE / "isaacgym_stand_in_cases.py")
CASES = [(path.stem, f.name) for path in FILES for f in ast.parse(path.read_text()).body if isinstance(f, ast.FunctionDef) and f.name.startswith("test_")]


def environment(**more: str) -> dict[str, str]:
    paths = [str(STAND_IN), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], list[str]]:
    """Failures of every case, by file and name; a case with parameters has one entry. A plug-in of pytest is imported before any test."""
    report = tmp_path_factory.mktemp("isaacgym") / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "isaacgym", "-p", "no:cacheprovider", "--junitxml=%s" % report, *map(str, FILES)]
    run = subprocess.run(command, cwd=HERE.parent.parent, env=environment(), capture_output=True, text=True)
    assert report.is_file(), run.stdout[-4000:] + run.stderr[-2000:]
    found: dict[tuple[str, str], list[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = (case.get("classname", "").rsplit(".", 1)[-1], case.get("name", "").split("[")[0])
        found.setdefault(name, []).extend((e.text or e.get("message") or e.tag)[-4000:] for e in case)
    assert found, run.stdout[-4000:]
    return found


@pytest.mark.parametrize(("file", "name"), CASES)
def test_case(results: dict[tuple[str, str], list[str]], file: str, name: str) -> None:
    assert (file, name) in results, sorted(results)
    assert not results[file, name], "\n\n".join(results[file, name])


def run_python(code: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], env=environment(**more), cwd=HERE.parent.parent, capture_output=True, text=True)


def test_torch_must_not_come_first() -> None:
    run = run_python("import torch, isaacgym")
    assert run.returncode == 1 and "PyTorch was imported before isaacgym modules" in run.stderr


MAKE = "from dextrack.hands import load_hand; from dextrack.sim.isaacgym_backend import make_isaacgym; make_isaacgym(load_hand('leap_right'), [1, 0, 0, 0])"


def test_the_backend_says_so() -> None:
    run = run_python("import torch; " + MAKE)
    assert run.returncode == 1 and "InputError: backend isaacgym: torch was imported before Isaac Gym" in run.stderr


def test_the_backend_brings_isaac_gym_before_torch() -> None:
    run = run_python(MAKE)
    assert run.returncode == 0, run.stderr


def test_where_isaac_gym_is_missing() -> None:
    with pytest.raises(InputError, match="not installed.*docker/isaacgym/README.md"):
        make_isaacgym(load_hand("leap_right"), np.array([1.0, 0.0, 0.0, 0.0]))


@pytest.mark.parametrize("name", hand_names())
def test_bodies_share_a_bit_where_they_do_not_collide(name: str) -> None:
    pairs = untouchable(load_hand(name))
    filters = collision_filters(pairs)
    assert max(filters.values()) < 1 << FILTER_BITS
    for a in filters:
        for b in filters:
            assert a == b or bool(filters[a] & filters[b]) == (frozenset((a, b)) in pairs)


def test_armature_is_the_mjcfs() -> None:
    assert set(armatures(load_hand("leap_right")).values()) == {0.001}


def test_contacts_of_the_object_have_its_friction() -> None:
    assert shape_friction(0.4, 0.4) == 0.4
    assert (shape_friction(0.8, 1.0) + 1.0) / 2 == pytest.approx(0.8)
    assert shape_friction(0.3, 1.0) == 0.0


def test_an_object_is_its_parts(tmp_path: Path) -> None:
    boxes = [trimesh.creation.box((0.05, 0.06, 0.08)), trimesh.creation.box((0.03, 0.02, 0.03))]
    boxes[0].apply_translation((0.1, 0.0, 0.04))
    boxes[1].apply_transform(trimesh.transformations.rotation_matrix(0.5, (1, 2, 3)))
    parts = tuple((np.array(m.vertices), np.array(m.faces, dtype=np.int32)) for m in boxes)
    centre = write_object_urdf(tmp_path, ObjectSpec("two", *parts[0], parts, mass=0.3), mass=0.2)
    whole = trimesh.util.concatenate(boxes)
    whole.density = 0.2 / whole.volume
    np.testing.assert_allclose(centre, whole.center_mass, atol=1e-9)
    inertia = ElementTree.parse(tmp_path / "object.urdf").find("link/inertial/inertia")
    given = [float(inertia.get(key)) for key in ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")]
    np.testing.assert_allclose(given, whole.moment_inertia[np.triu_indices(3)], rtol=1e-6, atol=1e-12)
    mesh = trimesh.load(tmp_path / "part_1.obj")
    np.testing.assert_allclose(mesh.bounds, boxes[1].bounds - centre, atol=1e-6)


def test_the_floating_base_goes_above_the_palm() -> None:
    hand = load_hand("allegro_left")
    text = hand.mjcf.with_suffix(".urdf").read_text()
    robot = ElementTree.fromstring(floating_urdf(text, hand, np.array([0.0, 1.0, 0.0, 0.0])))
    joints = {joint.get("name"): joint for joint in robot.findall("joint")}
    assert joints["tx"].find("parent").get("link") == ROOT and joints["rz"].find("child").get("link") == hand.palm_body
    # The root is turned by pi about x: the world's y and z are its -y and -z.
    np.testing.assert_allclose([float(v) for v in joints["tz"].find("axis").get("xyz").split()], [0.0, 0.0, -1.0], atol=1e-12)
    with pytest.raises(InputError, match="root link"):
        floating_urdf(floating_urdf(text, hand, np.array([1.0, 0.0, 0.0, 0.0])), hand, np.array([1.0, 0.0, 0.0, 0.0]))
