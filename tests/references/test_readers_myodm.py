"""The reader of MyoDM on a small wheel of the same layout, made here: a real zip, real meshes, a real MJCF."""

from __future__ import annotations

import hashlib
import io
import os
import random
import resource
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from dextrack.cli.data import main
from dextrack.errors import InputError, RefusedError
from dextrack.objects import ObjectSpec, lowest_z
from dextrack.references.readers import READERS, installation, reader, wheel
from dextrack.references.readers.myodm import MyoDM
from dextrack.references.readers.myohand import JOINTS
from dextrack.references.recording import Recording

SIZES = {"cube": (0.05, 0.05, 0.05), "plank": (0.1, 0.06, 0.02)}
OFFSET = 0.035
TABLE = 0.011
"""Where the table of the fake recordings lies, m."""
FINGERS = {"2": ("IFtip", 0.03), "3": ("MFtip", 0.01), "4": ("RFtip", -0.01), "5": ("LFtip", -0.03)}
BONES = (0.04, 0.03, 0.02)
PALM = 0.09


def hand_mjcf() -> str:
    """A hand with the names of the MyoHand: fingers along x at different y, every hinge about z but abduction about y."""

    def finger(names: list[tuple[str, str]], start: tuple[float, float], tip: str, lengths: tuple[float, ...]) -> str:
        inner = f'<site name="{tip}" pos="{lengths[-1]} 0 0"/>'
        for i, (joints, length) in reversed(list(enumerate(zip(names, (0.0, *lengths), strict=False)))):
            at = f"{start[0]} {start[1]} 0" if i == 0 else f"{length} 0 0"
            hinges = "".join(f'<joint name="{j}" axis="{"0 1 0" if "abduction" in j else "0 0 1"}"/>' for j in joints if j)
            inner = f'<body pos="{at}">{hinges}<geom size="0.005"/>{inner}</body>'
        return inner

    fingers = finger([("cmc_abduction", "cmc_flexion"), ("mp_flexion", ""), ("ip_flexion", "")], (0.02, 0.05), "THtip", BONES)
    for k, (tip, y) in FINGERS.items():
        fingers += finger([(f"mcp{k}_flexion", f"mcp{k}_abduction"), (f"pm{k}_flexion", ""), (f"md{k}_flexion", "")], (PALM, y), tip, BONES)
    slides = "".join(f'<joint name="ART{a}" type="slide" axis="{v}"/>' for a, v in zip("xyz", ("1 0 0", "0 1 0", "0 0 1"), strict=True))
    turns = "".join(f'<joint name="ARR{a}" axis="{v}"/>' for a, v in zip("xyz", ("1 0 0", "0 1 0", "0 0 1"), strict=True))
    wrist = "".join(f'<joint name="{n}" axis="0 0 1"/>' for n in ("pro_sup", "deviation", "flexion"))
    return f'<body>{slides}{turns}<geom size="0.01"/><body>{wrist}<geom size="0.01"/>{fingers}</body></body>'


def scene_mjcf() -> str:
    """As ``myohand_object.xml``: the object's name is filled in, and its files are included."""
    joints = "".join(f'<joint name="OBJT{a}" type="slide"/>' for a in "xyz")
    return f"""<mujoco><include file="myohand_tabletop.xml"/><include file="../../../../simhive/object_sim/OBJECT_NAME/assets.xml"/>
    <worldbody><body name="OBJECT_NAME" pos="0 0 {OFFSET}">{joints}<include file="../../../../simhive/object_sim/OBJECT_NAME/body.xml"/></body></worldbody>
    </mujoco>"""


def motion(name: str, glitch: float = 0.0, n: int = 30) -> dict[str, np.ndarray]:
    """Fields of a recording: the object rises from the table with the hand beside it."""
    size = SIZES[name.split("_")[0]]
    t = np.arange(n) * 0.02
    rise = 0.1 * np.clip(t - 0.1, 0, None)
    obj = np.tile([0.1, 0, TABLE + size[2] / 2 - OFFSET, 1, 0, 0, 0], (n, 1))
    obj[:, 2] += rise
    obj[0, 0] += glitch
    robot = np.zeros((n, 29))
    robot[:, 2] = TABLE + 0.04 + rise
    robot[:, JOINTS.index("mcp2_flexion")] = 0.3
    return {"time": t, "robot": robot, "object": obj, "robot_init": robot[0], "object_init": obj[0]}


MOTIONS = {"cube_lift": 0.0, "cube_pass1": 0.02, "plank_lift": 0.0, "plank_turn2": 0.004}


def wheel_files() -> dict[str, bytes]:
    """Members of the wheel."""
    files = {"myosuite/__init__.py": b"raise SystemExit('nothing of the wheel may be imported')"}
    hand = "myosuite/envs/myo/assets/hand/"
    files[hand + "myohand_object.xml"] = scene_mjcf().encode()
    files[hand + "myohand_tabletop.xml"] = (
        f"<mujoco><compiler angle='radian'/><default><joint armature='0.1'/></default><worldbody>{hand_mjcf()}</worldbody></mujoco>"
    ).encode()
    for name, size in {**SIZES, "human": (1.0, 0.4, 1.78)}.items():
        folder = f"myosuite/simhive/object_sim/{name}/"
        mesh = trimesh.creation.box(size)
        files[folder + f"{name}.stl"] = mesh.export(file_type="stl")
        for i, x in enumerate((-0.25, 0.25)):
            half = trimesh.creation.box((size[0] / 2, size[1], size[2]))
            half.apply_translation([x * size[0], 0, 0])
            files[folder + f"contact{i}.stl"] = half.export(file_type="stl")
        files[folder + "assets.xml"] = f'<mujoco><asset><mesh name="{name}" file="../../../../simhive/object_sim/{name}/{name}.stl"/></asset></mujoco>'.encode()
        files[folder + "body.xml"] = f'<mujoco><geom type="mesh" mesh="{name}"/></mujoco>'.encode()
    for name, glitch in MOTIONS.items():
        out = io.BytesIO()
        np.savez(out, **motion(name, glitch))
        files[f"myosuite/envs/myo/myodm/data/MyoHand_{name}.npz"] = out.getvalue()
    files["MyoSuite-2.8.4.dist-info/METADATA"] = b"Metadata-Version: 2.1\nName: MyoSuite\nVersion: 2.8.4\nRequires-Dist: not-to-be-installed\n"
    files["MyoSuite-2.8.4.dist-info/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files["MyoSuite-2.8.4.dist-info/RECORD"] = b""
    return files


def write_wheel(folder: Path, files: dict[str, bytes]) -> tuple[Path, str]:
    path = folder / "MyoSuite-2.8.4-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as z:
        for name, content in files.items():
            z.writestr(name, content)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return write_wheel(tmp_path_factory.mktemp("index"), wheel_files())


@pytest.fixture(scope="module")
def installed(fake: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "myodm"
    MyoDM(fake[1]).install(folder, fake[0])
    return folder


def load(folder: Path, name: str) -> Recording:
    return Recording.load(folder / "recordings" / f"{name}.npz")


def test_everything_is_converted_and_nothing_else_is_left(installed: Path) -> None:
    assert sorted(p.name for p in installed.iterdir()) == [".lock", "manifest.json", "objects", "recordings"]
    assert sorted(p.stem for p in (installed / "recordings").iterdir()) == sorted(MOTIONS)
    assert sorted(p.stem for p in (installed / "objects").iterdir()) == sorted(SIZES), "a person is no object"
    assert installation.check(installed).problems == []
    assert "myosuite" not in sys.modules


def test_keypoints_agree_with_the_chain_worked_out_by_hand(installed: Path) -> None:
    r = load(installed, "cube_lift")
    k = r.keypoints_w - r.keypoints_w[:, :1]
    np.testing.assert_allclose(r.keypoints_w[:, 0, 2], 0.04 + 0.1 * np.clip(r.time - 0.1, 0, None), atol=1e-12)
    reach = np.cumsum((PALM, *BONES))
    for first, y in ((9, 0.01), (13, -0.01), (17, -0.03)):  # straight fingers
        np.testing.assert_allclose(k[0, first : first + 4], [[x, y, 0] for x in reach], atol=1e-12)
    np.testing.assert_allclose(k[0, 1:5], [[0.02 + d, 0.05, 0] for d in np.cumsum((0.0, *BONES))], atol=1e-12)
    turned = Rotation.from_euler("z", 0.3).apply([[d, 0, 0] for d in np.cumsum((0.0, *BONES))]) + [PALM, 0.03, 0]
    np.testing.assert_allclose(k[0, 5:9], turned, atol=1e-12)  # the index finger, bent by 0.3 rad at its base


def test_frame_0_is_dropped_where_it_jumps_and_only_there(installed: Path) -> None:
    for name, glitch in MOTIONS.items():
        r = load(installed, name)
        assert len(r.time) == (29 if glitch else 30) and r.time[0] == 0.0
        assert r.provenance["frames_dropped"] == (1 if glitch else 0)
        assert any(f.startswith("frame 0 dropped") for f in r.flags) == bool(glitch)
        assert np.abs(np.diff(r.object_position_w[:2], axis=0)).max() < 1e-9


def test_the_object_begins_on_the_table_exactly(installed: Path) -> None:
    for name in MOTIONS:
        r = load(installed, name)
        spec = ObjectSpec.load(installed / "objects" / f"{r.object_name}.npz")
        low = lowest_z(spec.vertices, r.object_position_w, r.object_quaternion_w)
        assert abs(low[0]) < 1e-12
        assert r.provenance["shift_z_m"] == pytest.approx(-TABLE, abs=1e-9), "the offset of the object's body is in it"
        assert low[-1] == pytest.approx(0.1 * (0.58 - 0.1), abs=1e-6)


def test_objects_have_mesh_parts_mass_and_source(installed: Path) -> None:
    spec = ObjectSpec.load(installed / "objects" / "plank.npz")
    np.testing.assert_allclose(np.ptp(spec.vertices, axis=0), SIZES["plank"], atol=1e-7)
    assert len(spec.vertices) == 8 and len(spec.parts) == 2
    assert spec.mass == pytest.approx(500 * np.prod(SIZES["plank"]), rel=1e-5) and spec.friction == 1.0
    assert "MyoSuite==2.8.4" in spec.source
    assert "non-commercial" in load(installed, "plank_lift").licence


def test_a_second_install_does_nothing(fake: tuple[Path, str], installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {p: p.stat().st_mtime_ns for p in installed.rglob("*.npz")}
    MyoDM(fake[1]).install(installed, Path("/does/not/exist.whl"))
    assert "already installed" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in installed.rglob("*.npz")} == before


def content(folder: Path) -> dict[str, str]:
    """Name -> digest of what is installed."""
    manifest = installation.Manifest.load(folder)
    assert manifest is not None
    return {**manifest.recordings, **{f"object {k}": v for k, v in manifest.objects.items()}}


def in_child(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked process; its id. Its output is thrown away."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def install_and_die(fake: tuple[Path, str], folder: Path, moment: int, after: bool) -> Callable[[], None]:
    """An installation that is killed at its ``moment``-th file, before or after that is moved into place."""

    def work() -> None:
        real, calls = os.replace, [0]

        def replace(*args: Any) -> None:
            calls[0] += 1
            if calls[0] == moment and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            real(*args)
            if calls[0] == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        os.replace = replace
        MyoDM(fake[1]).install(folder, fake[0])

    return work


def test_killed_at_every_file_it_goes_on_where_it_was(fake: tuple[Path, str], installed: Path, tmp_path: Path) -> None:
    files = len(SIZES) + len(MOTIONS) + 1
    folder = tmp_path / "myodm"
    for moment in range(2 * files):
        after = moment % 2 == 1
        _, status = os.waitpid(in_child(install_and_die(fake, folder, 1, after)), 0)
        made = len(list(folder.glob("*/[!.]*.npz")))
        assert os.WIFSIGNALED(status) and made == min((moment + 1) // 2, files - 1), "what was finished is kept, and is not made again"
        if after and moment < 2 * files - 2:
            assert installation.Manifest.load(folder) is None, "unfinished is not installed"
        if made == files - 1 and after:
            break
    MyoDM(fake[1]).install(folder, fake[0])
    assert content(folder) == content(installed)
    assert installation.check(folder).problems == []


@pytest.mark.slow
def test_killed_at_random_times_it_ends_the_same(fake: tuple[Path, str], installed: Path, tmp_path: Path) -> None:
    rng = random.Random(0)
    folder = tmp_path / "myodm"
    for _ in range(40):
        child = in_child(lambda: MyoDM(fake[1]).install(folder, fake[0]))
        time.sleep(rng.uniform(0.0, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for path in folder.glob("*/[!.]*.npz"):
            (Recording if path.parent.name == "recordings" else ObjectSpec).load(path)
        if rng.random() < 0.2:
            for path in list(folder.glob("*/[!.]*.npz"))[:2]:
                path.unlink()
    MyoDM(fake[1]).install(folder, fake[0])
    assert content(folder) == content(installed)
    assert not [p for p in folder.rglob("*") if p.is_dir() and p.name == ".work"]


def test_two_at_once_do_not_corrupt(fake: tuple[Path, str], installed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "myodm"
    children = [in_child(lambda: MyoDM(fake[1]).install(folder, fake[0])) for _ in range(3)]
    assert [os.waitpid(c, 0)[1] for c in children] == [0, 0, 0]
    assert content(folder) == content(installed)


def test_the_second_says_whom_it_waits_for(tmp_path: Path) -> None:
    program = """
import sys, pathlib
from dextrack.references.readers.installation import locked
with locked(pathlib.Path(sys.argv[1]), lambda holder: print("waits for", holder, flush=True)):
    print("has it", flush=True)
"""
    said: list[str] = []
    with installation.locked(tmp_path, said.append):
        second = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert second.stdout is not None
        assert second.stdout.readline() == f"waits for process {os.getpid()}\n"
        assert second.poll() is None
    assert second.communicate(timeout=20)[0] == "has it\n" and said == []


def test_damage_is_found_and_repaired(fake: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "myodm"
    MyoDM(fake[1]).install(folder, fake[0])
    whole = content(folder)
    r = load(folder, "cube_lift")
    Recording(r.name, r.object_name, r.side, r.time, r.keypoints_w + 0.001, r.object_position_w, r.object_quaternion_w, provenance=r.provenance).save(
        folder / "recordings" / "cube_lift.npz"
    )
    (folder / "recordings" / "plank_lift.npz").unlink()
    (folder / "objects" / "cube.npz").write_bytes(b"PK")
    problems = "\n".join(installation.check(folder).problems)
    for words in ("cube_lift.npz: the content is not what was installed", "plank_lift.npz: there is no such file", "cube.npz: this is not a readable"):
        assert words in problems
    MyoDM(fake[1]).install(folder, fake[0])
    assert content(folder) == whole and installation.check(folder).problems == []


def test_another_wheel_is_refused(fake: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"SHA-256 is .*, not 7b848da8406a294c"):
        MyoDM().install(tmp_path / "myodm", fake[0])
    assert not list((tmp_path / "myodm").glob("*/*.npz"))
    with pytest.raises(InputError, match="no such file"):
        MyoDM().install(tmp_path / "myodm", tmp_path / "missing.whl")


def test_a_full_disk_is_named_and_leaves_no_half_file(fake: tuple[Path, str], tmp_path: Path) -> None:
    """The kernel limits the size of files here, as a full disk would."""

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500))
        with pytest.raises(RefusedError, match="DEXTRACK_DATA"):
            MyoDM(fake[1]).install(tmp_path / "myodm", fake[0])

    assert os.waitpid(in_child(work), 0)[1] == 0
    MyoDM(fake[1]).install(tmp_path / "myodm", fake[0])
    assert installation.check(tmp_path / "myodm").problems == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"myosuite/simhive/object_sim/cube/cube.stl": b"solid no"}, "cube"),
        ({"myosuite/envs/myo/myodm/data/MyoHand_cube_lift.npz": b"PK"}, "MyoHand_cube_lift.npz"),
        ({"myosuite/envs/myo/assets/hand/myohand_tabletop.xml": b"<mujoco/>"}, "hand's model"),
        ({"myosuite/simhive/object_sim/../../../../evil.txt": b"x"}, "leads out"),
    ],
)
def test_a_wheel_of_another_content_is_named_not_a_traceback(tmp_path: Path, change: dict[str, bytes], words: str) -> None:
    path, sha256 = write_wheel(tmp_path, {**wheel_files(), **change})
    with pytest.raises(InputError, match=words):
        MyoDM(sha256).install(tmp_path / "myodm", path)
    assert installation.Manifest.load(tmp_path / "myodm") is None and not (tmp_path / "evil.txt").exists()


def test_pip_fetches_resumes_and_verifies(fake: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real pip, with the folder of the fake wheel as its only index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(fake[0].parent))
    work = tmp_path / "work"
    work.mkdir()
    (work / fake[0].name).write_bytes(fake[0].read_bytes()[:1000])  # what a killed download may leave
    path = wheel.fetch("MyoSuite==2.8.4", fake[1], work)
    assert path.read_bytes() == fake[0].read_bytes()
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it is there already"))
    assert wheel.fetch("MyoSuite==2.8.4", fake[1], work) == path


def test_no_network_and_no_pip_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(InputError, match=r"could not download MyoSuite==2.8.4 \(ERROR.*--wheel FILE"):
        wheel.fetch("MyoSuite==2.8.4", "0" * 64, tmp_path / "work")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match="ensurepip"):
        wheel.fetch("MyoSuite==2.8.4", "0" * 64, tmp_path / "work")


def test_registry_names_every_reader() -> None:
    for name in READERS:
        made = reader(name)
        assert made.name == name and made.title and made.licence
    with pytest.raises(InputError, match="choose one of: myodm"):
        reader("grab2")


def test_command_line(data_folder: Path, fake: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="dextrack data install myodm"):
        main(["check"])
    monkeypatch.setattr("dextrack.references.readers.myodm.MyoDM.__init__.__defaults__", (fake[1], "MyoSuite==2.8.4"))
    assert main(["install", "myodm", "--wheel", str(fake[0])]) == 0
    printed = capsys.readouterr().out
    assert fake[1] in printed and "non-commercial" in printed and "Apache-2.0" in printed and "installed 4 recordings" in printed
    assert main(["check", "--json", str(tmp_path / "check.json")]) == 0
    assert '"cube_pass1"' in (tmp_path / "check.json").read_text()
    assert main(["list", "myodm"]) == 0
    assert "plank_turn2" in capsys.readouterr().out
    (data_folder / "myodm" / "objects" / "cube.npz").unlink()
    assert main(["check", "myodm"]) == 1
    assert "cube.npz: there is no such file" in capsys.readouterr().out
    assert main(["format"]) == 0
    assert "object_quaternion_w" in capsys.readouterr().out
