"""An output that cannot be written is told before the work begins, not after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dextrack.cli import EXIT_ERROR, main


@pytest.mark.parametrize("flag", ["--out", "--json"])
def test_mining_does_not_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str) -> None:
    (tmp_path / "file").write_text("kept")
    arguments = {"--out": str(tmp_path / "d.h5"), flag: str(tmp_path / "file" / "x")}
    assert main(["mine", str(tmp_path / "not_even_read.npz"), *[a for pair in arguments.items() for a in pair]]) == EXIT_ERROR
    assert "cannot be written" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
