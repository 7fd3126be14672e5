"""Results name the command that made them in a form that works in another checkout."""

from __future__ import annotations

import sys
from pathlib import Path


def test_a_command_has_no_path_of_this_machine(root: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(root / "tests" / "bench"))
    sys.modules.pop("command_line", None)
    from command_line import command_line

    given = [str(root / "tests/bench/soak.py"), "--minutes", "10", "--keep", "/elsewhere/gallery", f"--out={root}/runs/x", "--factor=0.5", "runs/y"]
    assert command_line(given) == "python tests/bench/soak.py --minutes 10 --keep gallery --out=runs/x --factor=0.5 runs/y"
