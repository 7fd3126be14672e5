"""Convex parts of a mesh by CoACD, in a process of their own: it may take minutes, and foreign machine code may crash.

Source: Wei, Liu, Ling, Su, "Approximate convex decomposition for 3D meshes with collision-aware concavity and tree search", SIGGRAPH 2022.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError, RefusedError
from dextrack.files import digest_arrays, read_arrays, user_data, write_arrays

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Part = Tuple[Floats, Ints]


@dataclasses.dataclass(frozen=True)
class PartsConfig:
    """Settings of the decomposition."""

    threshold: float = 0.05
    """Concavity that a part may keep, relative to the object's size; smaller follows the shape better, with more parts."""
    max_parts: int = 20
    """At most so many parts; collision time grows with them."""
    max_vertices: int = 64
    """At most so many vertices of a part (the scene of a simulation keeps no more)."""
    seed: int = 0
    """Seed of its tree search."""

    def __post_init__(self) -> None:
        """Refuse what CoACD would silently change."""
        if not 0.01 <= self.threshold <= 1.0:
            raise InputError("convex parts: threshold %r is not between 0.01 and 1." % self.threshold, remedy="0.05 suits most objects.")
        if not (1 <= self.max_parts <= 200 and 4 <= self.max_vertices <= 256):
            raise InputError("convex parts: %d parts of %d vertices are not possible." % (self.max_parts, self.max_vertices), remedy="ask for 1 to 200 parts.")


def convex_parts(
    name: str,
    vertices: Floats,
    faces: Ints,
    config: Optional[PartsConfig] = None,
    tell: Callable[[str], None] = lambda stage: None,
    cache: Optional[Path] = None,
) -> Tuple[Part, ...]:
    """Convex parts of a closed mesh, from the cache where it was decomposed before.

    Args:
        name: the object's, for the cache and messages.
        vertices: (V, 3), m.
        faces: (F, 3).
        config: settings; the defaults when None.
        tell: called now and then with what is being done.
        cache: folder of the cache; by default ``cache/parts`` in the user's data folder.

    Raises:
        RefusedError: CoACD failed on this mesh.
    """
    from importlib.metadata import version

    config = config or PartsConfig()
    settings = repr((dataclasses.astuple(config), version("coacd"))).encode()
    key = digest_arrays({"vertices": vertices, "faces": faces, "settings": np.frombuffer(settings, dtype=np.uint8)})
    path = (cache if cache is not None else user_data() / "cache" / "parts") / ("%s_%s.npz" % (name, key[:16]))
    if path.is_file():
        try:
            return _parts(read_arrays(path)[1])
        except (InputError, KeyError):
            pass  # a damaged cache entry is made again
    made = _decompose(name, vertices, faces, config, tell)
    write_arrays(path, {"kind": "convex parts", "object": name}, _arrays(made))
    return made


def _decompose(name: str, vertices: Floats, faces: Ints, config: PartsConfig, tell: Callable[[str], None]) -> Tuple[Part, ...]:
    """Run CoACD in a child process and follow what it says."""
    import trimesh

    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "mesh.npz", Path(folder) / "parts.npz"
        write_arrays(given, dataclasses.asdict(config), {"vertices": vertices, "faces": faces})
        command = [sys.executable, "-m", "dextrack.objects.convex_parts", str(given), str(made)]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        said = ""
        stage = "looking at the mesh"
        try:
            assert child.stdout is not None
            for line in child.stdout:
                said = line.strip() or said
                stage = _stage(line, stage)
                tell(stage)
            child.wait()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        if child.returncode != 0 or not made.is_file():
            raise RefusedError(
                "object %s: CoACD found no convex parts (exit code %d; it said last: %s)." % (name, child.returncode, said[-200:]),
                remedy="simplify the mesh, or look for triangles that cut through each other.",
            )
        found = _parts(read_arrays(made)[1])
    solid = []
    for v, f in found:
        hull = trimesh.Trimesh(v, f, process=False).convex_hull
        if hull.volume > 0.0:
            solid.append((np.array(hull.vertices, dtype=np.float64), np.array(hull.faces, dtype=np.int32)))
    return tuple(solid)


def _stage(line: str, stage: str) -> str:
    """The stage of the decomposition after CoACD has printed ``line``."""
    pieces = re.search(r"iter (\d+) -+ waiting pool: (\d+)", line)
    if pieces:
        return "round %d: %s pieces to cut" % (int(pieces.group(1)) + 1, pieces.group(2))
    done = re.search(r"Processing \[([\d.]+)%\]", line)
    if done:
        return "%s, %.0f %% done" % (stage.split(",")[0], float(done.group(1)))
    return "merging parts" if "Merge" in line else stage


def _arrays(parts: Tuple[Part, ...]) -> Dict[str, Any]:
    """``parts`` as arrays of a file."""
    return {"count": np.array(len(parts)), **{"v%d" % i: v for i, (v, _) in enumerate(parts)}, **{"f%d" % i: f for i, (_, f) in enumerate(parts)}}


def _parts(a: Dict[str, Any]) -> Tuple[Part, ...]:
    """What ``_arrays`` made."""
    return tuple((a["v%d" % i].astype(np.float64), a["f%d" % i].astype(np.int32)) for i in range(int(a["count"])))


def _child(given: Path, made: Path) -> None:
    """The child process: decompose the mesh in the file ``given`` into the file ``made``."""
    import coacd

    config, a = read_arrays(given)
    coacd.set_log_level("info")
    found = coacd.run_coacd(
        coacd.Mesh(a["vertices"], a["faces"]), threshold=config["threshold"], max_convex_hull=config["max_parts"], decimate=True,
        max_ch_vertex=config["max_vertices"], seed=config["seed"],
    )  # fmt: skip
    write_arrays(made, {}, _arrays(tuple((v, f) for v, f in found)))


if __name__ == "__main__":
    _child(Path(sys.argv[1]), Path(sys.argv[2]))
