"""The ROS package: what it declares, what it installs, and that it says the same as the graph."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from dextrack_deploy import graph

from dextrack.errors import InputError


def test_manifest_is_one_that_colcon_takes_for_ament_python(package: Path) -> None:
    root = ElementTree.parse(package / "package.xml").getroot()
    assert root.findtext("name") == "dextrack" and root.findtext("export/build_type") == "ament_python"
    # catkin_pkg's pattern; with an address that it refuses, colcon silently builds a plain Python package and registers nothing.
    import re

    assert re.match(r"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9._%-]+\.[a-zA-Z]{2,6}$", root.find("maintainer").attrib["email"])
    assert (package / "resource" / "dextrack").exists()


def test_pip_installs_it_and_registers_it_in_the_ament_index(package: Path, tmp_path: Path) -> None:
    source, prefix = tmp_path / "source", tmp_path / "prefix"
    shutil.copytree(package, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--prefix", str(prefix)]
    # Without the last option pip would first remove the package from the environment that the tests run in.
    subprocess.run([*command, "--ignore-installed", str(source)], check=True, capture_output=True)
    look = "from ament_index_python.packages import get_package_share_directory as find; print(find('dextrack'))"
    out = subprocess.run([sys.executable, "-c", look], env={**os.environ, "AMENT_PREFIX_PATH": str(prefix)}, capture_output=True, text=True, check=True).stdout
    share = Path(out.strip())
    assert share == prefix / "share" / "dextrack"
    for file in ("package.xml", "launch/track.launch.py", "config/params.yaml", "config/loopback.xml"):
        assert (share / file).is_file()
    found = next(prefix.glob("lib/python*/site-packages"))
    assert {p.name for p in (found / "dextrack_ros").glob("*.py")} == {p.name for p in (package / "dextrack_ros").glob("*.py")}
    points = next(importlib.metadata.distributions(path=[str(found)])).entry_points
    assert {p.name for p in points if p.group == "console_scripts"} == {*(n.name for n in graph.NODES), "operator"}
    assert sorted((p.name, p.module) for p in points if p.group == "dextrack.verbs") == [
        (verb, f"dextrack_ros.{verb}") for verb in ("preflight", "track", "trials")
    ]


@pytest.mark.parametrize("name", [*(n.name for n in graph.NODES), "operator"])
def test_every_node_is_a_module_with_a_main(name: str, package: Path) -> None:
    tree = ast.parse((package / "dextrack_ros" / f"{name}.py").read_text())
    assert "main" in {f.name for f in tree.body if isinstance(f, ast.FunctionDef)}


def test_shipped_parameters_are_the_defaults_of_the_graph(package: Path) -> None:
    sections = yaml.safe_load((package / "config" / "params.yaml").read_text())
    for node, section in sections.items():
        known = {p.name: p for p in graph.node(node).parameters}
        for name, value in section["ros__parameters"].items():
            known[name].check(value)
            assert value == known[name].default


def test_a_parameter_file_with_mistakes_is_refused(tmp_path: Path) -> None:
    from dextrack_ros.preparation import _tuned

    file = tmp_path / "params.yaml"
    cases = {
        "recorder: {ros__parameters: {min_free_mb: -1.0}}": "out of range",
        "recorder: {ros__parameters: {min_free: 5.0}}": "no parameter min_free",
        "camera: {ros__parameters: {rate: 5.0}}": "no parameter rate",
        "recorder: 5": "not a file of node parameters",
        "[": "not a file of node parameters",
    }
    for text, reason in cases.items():
        file.write_text(text)
        with pytest.raises(InputError, match=reason):
            _tuned(str(file))
    file.write_text("recorder: {ros__parameters: {min_free_mb: 5.0}}")
    assert _tuned(str(file)) == {"recorder": {"min_free_mb": 5.0}}


def test_the_launch_file_declares_every_argument_of_the_graph_with_a_description(package: Path) -> None:
    """Without ``launch`` on the package index its source is read; the results of running it are in tests/bench/results/ros2_launch.txt."""
    text = (package / "launch" / "track.launch.py").read_text()
    names = [node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    assert "LAUNCH_ARGUMENTS" in names
    assert all(a.description for a in graph.LAUNCH_ARGUMENTS)
    assert {"cell", "reference", "mode", "hand", "record", "dry_run"} <= {a.name for a in graph.LAUNCH_ARGUMENTS}


def test_the_readme_describes_the_arguments_in_the_same_words(package: Path) -> None:
    text = (package.parents[2] / "README.md").read_text()
    section = text[text.index("## On a robot") :].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")]
    assert rows == [[f"`{a.name}`", f"`{a.default}`" if a.default else "", a.description] for a in graph.LAUNCH_ARGUMENTS]


def test_make_installs_no_module_that_an_earlier_build_left(package: Path, tmp_path: Path) -> None:
    """The recipe of the Makefile, on a copy of the package in which a build lies that is older than the package."""
    root = tmp_path / "checkout"
    shutil.copytree(package, root / "ros2_ws" / "src" / "dextrack", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    shutil.copy(package.parents[2] / "Makefile", root)
    stale = root / "ros2_ws" / "src" / "dextrack" / "build" / "lib" / "dextrack_ros"
    stale.mkdir(parents=True)
    (stale / "long_gone.py").touch()
    venv = root / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", str(venv)], check=True)
    # pip, setuptools and the rest are those of this environment; what is installed goes into the new one.
    site = next(venv.glob("lib/python*/site-packages"))
    (site / "outer.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")))
    for name in ("pyproject.toml", "constraints.txt", "apt-packages.txt"):
        (root / name).touch()
    for stamp in (".apt-checked", ".installed"):
        (venv / stamp).touch()
    done = subprocess.run(["make", "-C", str(root), "setup", "SKIP_APT=1", f"PYTHON={sys.executable}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    installed = {p.name for p in (site / "dextrack_ros").glob("*.py")}
    assert installed == {p.name for p in (package / "dextrack_ros").glob("*.py")}


def test_sources_and_names_are_told_apart(tmp_path: Path) -> None:
    from dextrack_deploy.source import split_place, split_source
    from dextrack_ros.preparation import default_folder

    assert split_source("a/b.npz") == (Path("a/b.npz"), "")
    assert split_source("a/b.h5:apple_lift@leap_right") == (Path("a/b.h5"), "apple_lift@leap_right")
    assert split_place("") is None and split_place("0.1,-0.2,30") == (0.1, -0.2, 30.0)
    for wrong in ("0.1", "0.1,0.2,nan", "here"):
        with pytest.raises(InputError, match="three numbers"):
            split_place(wrong)
    with pytest.raises(InputError, match="no reference"):
        split_source("")
    assert default_folder("a/b.h5:apple_lift@leap_right").name.startswith("apple_lift-20")
    assert default_folder("../x/apple lift.npz").parent == Path("runs")
