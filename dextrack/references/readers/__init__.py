"""Readers: what turns a data set into recordings and objects of ours. One file each, and one line in ``READERS``.

A reader installs a data set into its folder under the user's data folder::

    <user data>/<reader>/recordings/<name>.npz    dextrack.references.recording
    <user data>/<reader>/objects/<object>.npz     dextrack.objects.spec
    <user data>/<reader>/manifest.json            what was installed, with digests (see ``installation``)
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol

from dextrack.errors import InputError
from dextrack.files import user_data

READERS: dict[str, str] = {
    "myodm": "dextrack.references.readers.myodm:MyoDM",
}
"""Name -> ``module:class``, imported when it is used."""


class Reader(Protocol):
    """A data set that DexTrack can install."""

    name: str
    """Name on the command line, and of its folder."""
    title: str
    """One line: what it holds."""
    licence: str
    """Terms and origin, in the words that are printed when it is installed."""

    def install(self, folder: Path, source: Path | None = None) -> None:
        """Make ``folder`` complete: fetch what is missing, or take it from ``source``, a file or folder that the user downloaded.

        Shows progress, resumes what an interruption left, does nothing where nothing is missing, and never corrupts ``folder``.

        Raises:
            InputError: the source cannot be had or is not what it should be.
        """


def reader(name: str) -> Reader:
    """The reader called ``name``.

    Raises:
        InputError: there is none.
    """
    if name not in READERS:
        raise InputError(f"data set {name!r} is not known.", remedy=f"choose one of: {', '.join(READERS)}.")
    module, _, cls = READERS[name].partition(":")
    made: Reader = getattr(importlib.import_module(module), cls)()
    return made


def folder_of(name: str) -> Path:
    """Where the data set ``name`` is, or will be, installed."""
    return user_data() / name
