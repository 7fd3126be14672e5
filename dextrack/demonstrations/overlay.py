"""A file that is read from disk and changed in memory only, so that a small change to a large file costs little memory and harms nothing."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import Any

_PAGE = 1 << 16
"""Bytes that are kept together once one of them has been written."""


class Overlay(io.RawIOBase):
    """The file at ``path``, or an empty one where there is none, under the pages that were written since; a binary file object.

    HDF5 writes to it as to any file. It crashes the process when a write to a disk fails, as on a full one; a write here never does.
    """

    def __init__(self, path: Path) -> None:
        """Open the file for reading."""
        super().__init__()
        self._path = Path(path)
        self._base = open(self._path, "rb") if self._path.exists() else None
        self._pages: dict[int, bytearray] = {}
        self._at = 0
        self._size = self._kept = os.fstat(self._base.fileno()).st_size if self._base else 0
        # Beyond ``_kept``, what the file on disk holds was cut off and counts as zeros.

    def copy_to(self, target: Path) -> None:
        """Make the file at ``target`` equal to this: a copy of the one on disk, which the kernel makes, with the written pages over it.

        Raises:
            OSError: it cannot be written.
        """
        if self._base is not None:
            shutil.copyfile(self._path, target)
        with open(target, "r+b" if self._base is not None else "wb") as f:
            f.truncate(self._kept)
            f.truncate(self._size)
            for number in sorted(self._pages):
                f.seek(number * _PAGE)
                f.write(self._pages[number][: max(0, self._size - number * _PAGE)])

    def close(self) -> None:
        """Close the file on disk."""
        if self._base is not None:
            self._base.close()
        super().close()

    def readable(self) -> bool:
        """It is."""
        return True

    def writable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Position, bytes."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position; see ``io.IOBase.seek``."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read into ``buffer``, as far as the file goes; returns the number of bytes."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._at))
        done = 0
        while done < count:
            number, first = divmod(self._at + done, _PAGE)
            take = min(_PAGE - first, count - done)
            view[done : done + take] = self._page(number)[first : first + take]
            done += take
        self._at += count
        return count

    def write(self, data: Any) -> int:
        """Write ``data`` at the position; returns the number of bytes."""
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            number, first = divmod(self._at + done, _PAGE)
            take = min(_PAGE - first, len(view) - done)
            page = self._pages.setdefault(number, self._page(number))
            page[first : first + take] = view[done : done + take]
            done += take
        self._at += len(view)
        self._size = max(self._size, self._at)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Cut the file off at ``size`` bytes, or lengthen it with zeros."""
        size = self._at if size is None else size
        if size < self._size:
            self._kept = min(self._kept, size)
            self._pages = {number: page for number, page in self._pages.items() if number * _PAGE < size}
            last = self._pages.get(size // _PAGE)
            if last is not None:
                last[size % _PAGE :] = bytes(_PAGE - size % _PAGE)
        self._size = size
        return size

    def _page(self, number: int) -> bytearray:
        """Page ``number`` as it is now; a new array, unless it has been written."""
        if number in self._pages:
            return self._pages[number]
        count = max(0, min(_PAGE, self._kept - number * _PAGE))
        content = os.pread(self._base.fileno(), count, number * _PAGE) if self._base is not None and count else b""
        return bytearray(content.ljust(_PAGE, b"\0"))
