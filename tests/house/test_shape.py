"""The shape of the code: small files, short functions, nothing that belongs to one machine."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 60
FORBIDDEN_NAMES = {"utils.py", "helpers.py", "common.py", "misc.py"}
# Written in two parts, so that this file does not match itself.
MACHINE = re.compile(
    "|".join(
        (
            r"/ro" "ot/",
            r"/wo" "rk/(main|shared)",
            r"/tmp/" "dx",
            r"/ho" r"me/\w",
            r"pypi\." "org",
            r"files\.python" "hosted",
            r"/opt/" "pypi",
            r"deb\." "debian",
        )
    )
)


def tracked(root: Path, *patterns: str) -> list[Path]:
    output = subprocess.run(["git", "ls-files", *patterns], cwd=root, capture_output=True, text=True, check=True).stdout
    return [root / line for line in output.splitlines() if (root / line).is_file()]


def test_files_and_functions_are_short(root: Path) -> None:
    files = tracked(root, "*.py")
    assert files
    long = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        if text.count("\n") >= FILE_LINES:
            long.append("%s: %d lines" % (path.relative_to(root), text.count("\n")))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long.append("%s:%d: %s has %d lines" % (path.relative_to(root), node.lineno, node.name, lines))
    assert not long, "\n".join(long)


def test_no_drawers_for_everything(root: Path) -> None:
    assert [path for path in tracked(root, "*.py") if path.name in FORBIDDEN_NAMES or path.parent.name == "common"] == []


def test_nothing_names_one_machine_or_a_registry(root: Path) -> None:
    found = []
    for path in tracked(root):
        if path.is_relative_to(root / "docker"):
            continue  # an image is a machine of its own
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += ["%s:%d: %s" % (path.relative_to(root), text[: m.start()].count("\n") + 1, m.group()) for m in MACHINE.finditer(text)]
    assert not found, "\n".join(found)


RESTRICTED = {"dextrack/references/released.py"}
"""Files of others that are pickles, read there by an unpickler that makes arrays and nothing else."""


def test_no_pickles(root: Path) -> None:
    """Loading a pickle runs its author's code; arrays are read as plain ``.npz`` and safetensors."""
    pattern = re.compile(r"^\s*import pickle|^\s*from pickle|allow_pickle\s*=\s*True|torch\.load\(", re.MULTILINE)
    ours = tracked(root, "dextrack/*.py", "deploy/*.py", "calibration/*.py", "assets/*.py", "ros2_ws/*.py")
    assert ours
    found = {str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in ours}
    assert [name for name, text in found.items() if name not in RESTRICTED and pattern.search(text)] == []
    assert [name for name in RESTRICTED if re.search(r"pickle\.loads?\(|allow_pickle", found[name]) or "def find_class(" not in found[name]] == []
