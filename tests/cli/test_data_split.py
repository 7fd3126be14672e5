from __future__ import annotations

import pytest

from dextrack.cli import EXIT_ERROR, main
from dextrack.references import splits


def test_the_parts_are_shown_with_their_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "split"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "test_unseen: 13 recordings of 9 objects" in shown
    assert all(name in shown for part in splits.PARTS for name in getattr(splits.load(), part))
    assert "fryingpan_cook2: bad input" in shown


@pytest.mark.parametrize("part", splits.PARTS)
def test_a_part_for_a_shell_loop(capsys: pytest.CaptureFixture[str], part: str) -> None:
    assert main(["data", "split", "myodm", "--part", part]) == 0
    assert capsys.readouterr().out.split("\n")[:-1] == list(getattr(splits.load(), part))


def test_an_unknown_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "split", "grab"]) == EXIT_ERROR
    assert "has no split" in capsys.readouterr().err
