"""Models, objects and cell configurations that DexTrack ships, as package data."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.version_info >= (3, 9):
    from importlib.resources import files as _files
else:  # the server side of Isaac Gym runs on Python 3.8
    from importlib_resources import files as _files


def path(*parts: str) -> Path:
    """Path of a shipped file or folder, for example ``path("models", "leap_right", "leap_right.xml")``.

    Raises:
        FileNotFoundError: nothing of that name is shipped.
    """
    p = Path(str(_files(__name__))).joinpath(*parts)
    if not p.exists():
        raise FileNotFoundError("dextrack_assets ships no %s" % "/".join(parts))
    return p
