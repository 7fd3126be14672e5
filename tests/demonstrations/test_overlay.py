"""The overlay: any order of reads, writes and truncations gives what a plain file gives, and the file on disk does not change."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import numpy as np
import pytest

from dextrack.demonstrations import overlay
from dextrack.demonstrations.overlay import Overlay


@pytest.mark.parametrize("seed", range(8))
def test_it_is_like_a_file_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(overlay, "_PAGE", 16)
    rng = np.random.default_rng(seed)
    path, target = tmp_path / "base", tmp_path / "copy"
    first = b"" if seed == 0 else rng.bytes(int(rng.integers(0, 200)))
    if seed:
        path.write_bytes(first)
    plain = io.BytesIO(first)
    with contextlib.closing(Overlay(path)) as laid:
        for _ in range(300):
            at, count = (int(n) for n in rng.integers(0, 120, 2))
            match rng.integers(0, 5):
                case 0:
                    assert laid.seek(0, os.SEEK_END) == plain.seek(0, os.SEEK_END)
                case 1 | 2:
                    data = rng.bytes(count)
                    for f in (laid, plain):
                        f.seek(at)
                        f.write(data)
                case 3:
                    laid.seek(at)
                    plain.seek(at)
                    assert laid.read(count) == plain.read(count) and laid.tell() == plain.tell()
                case _:
                    for f in (laid, plain):
                        f.truncate(at)
                        f.seek(0, os.SEEK_END)  # a BytesIO is not lengthened by truncate
                    plain.write(bytes(at - plain.tell()))
        laid.copy_to(target)
    assert target.read_bytes() == plain.getvalue()
    assert path.read_bytes() == first if seed else not path.exists()


def test_what_was_cut_off_does_not_come_back(tmp_path: Path) -> None:
    path, target = tmp_path / "base", tmp_path / "copy"
    path.write_bytes(b"x" * 100_000)
    with contextlib.closing(Overlay(path)) as laid:
        laid.truncate(10)
        laid.truncate(90_000)
        laid.seek(80_000)
        laid.write(b"y")
        laid.copy_to(target)
    assert target.read_bytes() == b"x" * 10 + b"\0" * 79_990 + b"y" + b"\0" * 9_999
