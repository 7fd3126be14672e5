"""Every package that the code imports is declared with its reason and pinned, and every declared one is used."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Sequence
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomllib")

OURS = re.compile(r"dextrack\w*|tests")
INDIRECT = {
    "mujoco-core": "the binary half of mujoco, declared to bound its version",
    "daqp": "a solver that mink chooses by name",
}
"""Declared, though no file imports it."""
FROM_ELSEWHERE = {
    "importlib_resources": "imported only on Python 3.8, where an Isaac Gym image installs it",
    "launch": "launch files run under a sourced ROS 2; it is not on the package index",
    "launch_ros": "as launch",
    "franka_sim": "twin/franka_sim_host.py runs in an environment of its own, which twin/franka_setup.py makes",
    "dex_retargeting": "only tests/bench compares with it: the extra bench installs it, `make setup` does not",
}
"""Imported, though `make setup` does not install it."""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(root: Path, *extras: str) -> set[str]:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return {canonical(re.match(r"[\w.-]+", line).group()) for line in lines}


def imported(*folders: Path, scripts: Sequence[Path] = ()) -> dict[str, set[str]]:
    """What the files of ``folders`` import, standard library and ours aside: module -> distributions that provide it.

    Files in the folders ``scripts`` import each other by their bare names.
    """
    beside = {path.stem for folder in scripts for path in folder.glob("*.py")}
    names = set()
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
        # A process that a test starts finds the files beside it by their bare names.
        names |= {name for name in found if name not in beside and not (path.parent / (name + ".py")).is_file()}
    names = {n for n in names if n not in sys.stdlib_module_names and not OURS.fullmatch(n)} - set(FROM_ELSEWHERE)
    providers = packages_distributions()
    assert names <= set(providers), "not installed: %s" % sorted(names - set(providers))
    return {name: {canonical(provider) for provider in providers[name]} for name in names}


def undeclared(modules: dict[str, set[str]], declarations: set[str]) -> list[str]:
    return sorted(name for name, providers in modules.items() if not providers & declarations)


def test_the_core_imports_only_what_it_declares(root: Path) -> None:
    assert undeclared(imported(root / "dextrack", root / "assets"), declared(root, "export", "gpu")) == []


def test_deploy_imports_only_what_it_declares(root: Path) -> None:
    assert undeclared(imported(root / "deploy", root / "calibration"), declared(root, "robot")) == []


def test_the_tests_and_nodes_import_only_what_is_declared(root: Path) -> None:
    modules = imported(root / "tests", root / "ros2_ws", scripts=(root / "tests" / "bench", root / "tests" / "ros"))
    # ROS 2 comes from its wheels or from a sourced installation; either way under the names of its packages.
    others = {name: providers for name, providers in modules.items() if not any(p.startswith("ros-") for p in providers)}
    assert undeclared(others, declared(root, "robot", "export", "gpu", "dev")) == []


def test_what_is_declared_is_used(root: Path) -> None:
    modules = imported(root / "dextrack", root / "assets", root / "deploy", root / "calibration", root / "ros2_ws")
    assert sorted(declared(root, "robot", "export", "gpu") - set(INDIRECT) - set().union(*modules.values())) == []


def test_every_declaration_gives_its_reason_and_is_pinned(root: Path) -> None:
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    block = text[text.index("dependencies = [") : text.index("[project.scripts]")]
    entries = re.findall(r'^    "([\w.-]+)[^"]*",(.*)$', block, re.MULTILINE)
    assert len(entries) > 20
    assert [name for name, reason in entries if not re.match(r"\s+# \w", reason)] == []
    pins = {canonical(line.split("==")[0]) for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line}
    assert [name for name, _ in entries if canonical(name) not in pins] == []
