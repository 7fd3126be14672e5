"""Show a recording, a reference or a demonstration in the browser, or as a strip of key frames."""

from __future__ import annotations

import dataclasses
import difflib
import sys
from pathlib import Path
from typing import Annotated

import tyro

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.files import read_arrays, require_writable
from dextrack.objects import ObjectSpec
from dextrack.references.library import find_object, find_recording
from dextrack.references.recording import Recording
from dextrack.references.reference import Reference

Item = Recording | Reference | Demonstration


@dataclasses.dataclass(frozen=True)
class View:
    """Show a motion in the browser until Ctrl-C, or write key frames of it into a PNG."""

    what: Annotated[str, tyro.conf.Positional]
    """A recording (its name or file), a reference (.npz), or demonstrations (.h5; of one that holds several, the page lets you choose)."""
    name: str | None = None
    """Which demonstration of the file: its name, or the beginning of it. demonstrations.h5:NAME says the same."""
    host: str = "127.0.0.1"
    """Address to listen on. The default is reached from this machine alone; 0.0.0.0 lets everybody in who reaches this machine."""
    port: int = 8080
    """Port to listen on; 0 takes any that is free."""
    open: bool = False
    """Open the page in your browser."""
    png: Path | None = None
    """Write a strip of key frames to this file instead."""
    width: int = 640
    """Width of one key frame of the strip, pixels; its height is three quarters of that."""


def main(args: list[str]) -> int:
    """Run the verb; returns the exit code."""
    view = tyro.cli(View, args=args, prog="dextrack view", description=__doc__)
    path, _, name = view.what.partition(":") if ".h5:" in view.what else (view.what, "", "")
    if name and view.name is not None:
        raise InputError(f"{view.what} --name {view.name}: the demonstration is named twice.", remedy="name it once.")
    wanted = view.name if view.name is not None else name
    if wanted and not path.endswith(".h5"):
        raise InputError(f"--name {wanted}: only a file of demonstrations (.h5) holds several things.", remedy="leave --name out.")
    if view.png is not None:
        return _write_strip(view.png, view.width, path, wanted)
    return _serve(view, path, wanted)


def _write_strip(png: Path, width: int, path: str, wanted: str) -> int:
    """Write key frames of what ``path`` holds to ``png``."""
    from dextrack.evaluation import motion
    from dextrack.evaluation.film_strip import film_strip

    if not 64 <= width <= 1920:
        raise InputError(f"--width {width}: a key frame has 64 to 1920 pixels.", remedy="choose a width in that range.")
    require_writable(png)
    item = _load(path, _one(Path(path), wanted) if path.endswith(".h5") else path)
    rows: tuple[motion.Motion, ...]
    if isinstance(item, Demonstration):
        rows = motion.of_demonstration(item)
    else:
        rows = motion.of_reference(item) if isinstance(item, Reference) else (motion.of_recording(item),)
    strip = film_strip(rows, _object(item, path), size=(width, width * 3 // 4))
    strip.save(png)
    print(f"{png}: {', '.join(strip.rows)} at {', '.join(f'{key.time:.2f} s' for key in strip.keys)}")
    return 0


def _serve(view: View, path: str, wanted: str) -> int:
    """Serve what ``path`` holds until Ctrl-C."""
    from dextrack.evaluation.viewer import build, server
    from dextrack.evaluation.viewer.show import Show

    names: tuple[str, ...] = (path,)
    if path.endswith(".h5"):
        names = store.names(Path(path))
        if wanted or len(names) < 2:
            first = _one(Path(path), wanted)
            names = (first, *(n for n in names if n != first))

    def load(name: str) -> Show:
        item = _load(path, name)
        obj = _object(item, path)
        if isinstance(item, Demonstration):
            return build.of_demonstration(item, obj)
        return build.of_reference(item, obj) if isinstance(item, Reference) else build.of_recording(item, obj)

    def ready(address: str) -> None:
        print(f"{address} shows {names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}. Ctrl-C ends it.", flush=True)
        if view.host not in ("127.0.0.1", "localhost", "::1"):
            print(f"warning: whoever reaches {view.host} sees it and can move it; nobody is asked for a password.", file=sys.stderr, flush=True)

    server.serve(names, load, view.host, view.port, ready, browser=view.open)
    return 0


def _load(path: str, name: str) -> Item:
    """The demonstration ``name`` of the store at ``path``, or the reference or recording that ``path`` is or names."""
    if path.endswith(".h5"):
        return store.load(Path(path), name)
    if Path(path).is_file() and read_arrays(Path(path))[0].get("kind") == "reference":
        return Reference.load(Path(path))
    return find_recording(path)


def _object(item: Item, path: str) -> ObjectSpec:
    """The object that ``item`` moves."""
    near = None if isinstance(item, Recording) else Path(path)
    return find_object(item.reference if isinstance(item, Demonstration) else item, near)


def _one(path: Path, name: str) -> str:
    """The full name in the store at ``path`` of the demonstration whose name is or begins with ``name``."""
    known = store.names(path)
    fitting = [n for n in known if n == name or n.split("@")[0] == name] or [n for n in known if n.startswith(name)]
    if len(fitting) != 1:
        # A store may hold hundreds: those that the name fits, else those that look like it.
        near = fitting or difflib.get_close_matches(name, known, n=8, cutoff=0.4) or list(known)
        raise InputError(f"{path}: {name!r} names {len(fitting)} demonstrations.", remedy=f"name one of: {', '.join(near) or 'none'}.")
    return fitting[0]
