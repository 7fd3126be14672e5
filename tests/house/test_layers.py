"""The layers of the design hold, and what an Isaac Gym server imports stays valid on Python 3.8."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import grimp

CHAIN = ("dextrack.hands", "dextrack.objects", "dextrack.sim")
"""What the server side of Isaac Gym imports; everything these import is in the chain too."""


def chain_files(root: Path) -> list[Path]:
    """Files of every module of ours that is imported, at any depth, from a module of CHAIN, with the packages they lie in."""
    graph = grimp.build_graph("dextrack", "dextrack_assets", include_external_packages=False, cache_dir=None)
    names = {"dextrack"}
    for package in CHAIN:
        for module in {package} | graph.find_descendants(package):
            names |= {module} | graph.find_upstream_modules(module)
    names |= {name.rsplit(".", 1)[0] for name in names if "." in name}
    files = []
    for name in sorted(names):
        path = (root / "assets" if name.startswith("dextrack_assets") else root).joinpath(*name.split("."))
        files.append(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))
    return files


def vermin(*files: Path) -> subprocess.CompletedProcess[str]:
    # importlib.resources.files is 3.9; the one place that uses it falls back to the backport.
    command = [Path(sys.executable).parent / "vermin", "-t=3.8-", "--no-tips", "--violations", "--exclude", "importlib.resources.files", *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True)


def test_import_layers(root: Path) -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert "3 kept, 0 broken" in result.stdout


def test_chain_is_valid_on_python_38(root: Path) -> None:
    files = chain_files(root)
    assert root / "dextrack" / "sim" / "__init__.py" in files
    assert root / "dextrack" / "errors.py" in files
    result = vermin(*files)
    assert result.returncode == 0, result.stdout


def test_the_check_sees_newer_python(tmp_path: Path) -> None:
    newer = tmp_path / "newer.py"
    newer.write_text("def f(x):\n    match x:\n        case 1:\n            return 2\n")
    result = vermin(newer)
    assert result.returncode == 1
    assert "3.10" in result.stdout


def test_chain_imports_no_torch_and_no_upper_layer() -> None:
    code = "import sys, json, importlib; [importlib.import_module(n) for n in %r]; print(json.dumps(list(sys.modules)))" % (CHAIN,)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = json.loads(result.stdout)
    ours = {name.split(".")[1] for name in modules if name.startswith("dextrack.")}
    assert ours <= {"hands", "objects", "sim", "errors", "files", "rotations"}
    assert "torch" not in modules
