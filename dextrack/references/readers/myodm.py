"""MyoDM: 95 recordings of a right hand moving everyday objects, out of the wheel of MyoSuite 2.8.4.

Source: Caggiano, Dasari, Kumar, "MyoDex: a generalizable prior for dexterous manipulation", ICML 2023. The motions were retargeted to
the MyoHand from GRAB (Taheri et al., ECCV 2020); the objects' shapes are GRAB's.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dextrack import __version__
from dextrack.errors import InputError, RefusedError
from dextrack.files import read_arrays
from dextrack.objects.geometry import lowest_z
from dextrack.objects.spec import ObjectSpec, mass_from_density
from dextrack.references.readers import faults, wheel
from dextrack.references.readers.installation import Manifest, check, locked
from dextrack.references.readers.myohand import JOINTS, MyoHand
from dextrack.references.recording import Recording

Floats = NDArray[np.float64]

REQUIREMENT = "MyoSuite==2.8.4"
SHA256 = "7b848da8406a294c895c000f51a8c7b7e5654ceddaee0cb07aa562f4fbb30d2a"
CONVERTER = 1
"""Version of the conversion below; raise it when its results change, and the next ``install`` makes every file again."""
WORK = ".work"
"""Folder of what is unpacked, beside the recordings, while an installation runs."""

MOTIONS = "myosuite/envs/myo/myodm/data/"
HAND = "myosuite/envs/myo/assets/hand/"
SIMHIVE = "myosuite/simhive/"
NEEDED = (MOTIONS, HAND, *(SIMHIVE + part for part in ("myo_sim/", "object_sim/", "furniture_sim/simpleTable/", "furniture_sim/common/")))
"""What is unpacked."""
SCENERY = frozenset({"human", "table"})
"""Shapes among the objects that are none."""

GLITCH = 0.001
"""The object lies still at the start: where it moves farther than this to frame 1, m, frame 0 is a glitch of the source and dropped."""
TABLE_OFF = 0.02
"""A table that lies farther than this from the source's height, m, is worth a flag."""


class MyoDM:
    """The reader; see ``readers.Reader``."""

    name = "myodm"
    title = "95 recordings of a right hand moving everyday objects (MyoDM, derived from GRAB)"
    licence = (
        "The MyoSuite wheel is Apache-2.0. Its motions derive from GRAB, whose licence allows non-commercial research only: "
        "they are installed on this machine for you, and must not be redistributed."
    )

    def __init__(self, sha256: str = SHA256, requirement: str = REQUIREMENT) -> None:
        """Use another wheel than the published one; for tests."""
        self._sha256 = sha256
        self._requirement = requirement
        self._source = f"{requirement}, wheel sha256 {sha256}"

    def install(self, folder: Path, source: Path | None = None) -> None:
        """See ``readers.Reader.install``. ``source`` is the wheel, where it is not to be downloaded."""
        console = Console(highlight=False)
        try:
            with locked(folder, lambda holder: console.print(f"another installation is running ({holder}); waiting for it ...")):
                if self._complete(folder):
                    # One that was killed after its last file left what it unpacked.
                    shutil.rmtree(folder / WORK, ignore_errors=True)
                    console.print(f"{self.name}: already installed in {folder}", soft_wrap=True)
                else:
                    self._install(folder, source, console)
        except OSError as error:
            cause = error.strerror or type(error).__name__
            raise RefusedError(
                f"{error.filename or folder}: {cause}.", remedy="make room (300 MB) or set DEXTRACK_DATA, and run it again; it goes on."
            ) from None

    def _install(self, folder: Path, source: Path | None, console: Console) -> None:
        """Fetch, verify, unpack, convert."""
        console.print(f"[bold]{self.name}[/bold]: {self.title}\nsource: {self._source}\nlicence: {self.licence}", soft_wrap=True)
        work = folder / WORK
        if source is not None:
            wheel.verify(source, self._sha256)
        else:
            with console.status(f"downloading {self._requirement} with pip ..."):
                source = wheel.fetch(self._requirement, self._sha256, work)
        with console.status("unpacking ..."):
            wheel.unpack(source, NEEDED, work / "unpacked")
        with Progress(TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console) as progress:
            manifest = self._convert(work / "unpacked", folder, progress)
        manifest.save(folder)
        shutil.rmtree(work, ignore_errors=True)
        flagged = sum(1 for name in manifest.recordings if Recording.load(folder / "recordings" / f"{name}.npz").flags)
        console.print(f"installed {len(manifest.recordings)} recordings ({flagged} with flags) and {len(manifest.objects)} objects in {folder}", soft_wrap=True)

    def _complete(self, folder: Path) -> bool:
        """Whether an installation by this converter from this source has finished, and nothing has happened to it since."""
        manifest = Manifest.load(folder)
        return manifest is not None and self._made(manifest) and not check(folder).problems

    def _made(self, manifest: Manifest) -> bool:
        """Whether this converter made ``manifest`` from this source."""
        return (manifest.source, manifest.converter) == (self._source, CONVERTER)

    def _convert(self, unpacked: Path, folder: Path, progress: Progress) -> Manifest:
        """Convert every object, then every recording; what an earlier run left whole is kept."""
        shapes = sorted(p for p in (unpacked / SIMHIVE / "object_sim").glob("*") if p.is_dir() and p.name not in SCENERY)
        motions = sorted((unpacked / MOTIONS).glob("MyoHand_*.npz"))
        if not shapes or not motions:
            raise InputError(f"{self._requirement}: the wheel holds no objects or no motions.", remedy="use the version named above.")
        before = Manifest.load(folder)
        known = before if before is not None and self._made(before) else Manifest(self.name, self._source, CONVERTER, {}, {})
        specs: dict[str, ObjectSpec] = {}
        for shape in progress.track(shapes, description="objects"):
            specs[shape.name] = self._object(shape, folder / "objects" / f"{shape.name}.npz", known.objects.get(shape.name))
        hand: MyoHand | None = None
        recordings: dict[str, str] = {}
        for motion in progress.track(motions, description="recordings"):
            name = motion.stem.removeprefix("MyoHand_")
            path = folder / "recordings" / f"{name}.npz"
            made = self._kept(Recording, path, known.recordings.get(name))
            if made is None:
                spec = specs.get(name.split("_")[0])
                if spec is None:
                    raise InputError(f"{motion.name}: the wheel holds no such object.", remedy="use the version named above.")
                hand = hand or MyoHand(unpacked / HAND / "myohand_object.xml", spec.name)
                made = self._recording(motion, name, spec, hand)
                made.save(path)
            recordings[name] = made.digest
        return Manifest(self.name, self._source, CONVERTER, recordings, {name: spec.digest for name, spec in specs.items()})

    def _kept(self, kind: Any, path: Path, digest: str | None) -> Any:
        """The file at ``path`` if this converter made it from this source, and it is whole and has the ``digest`` (None: unknown yet); else None."""
        try:
            made = kind.load(path)
        except InputError:
            return None
        mark = made.source if kind is ObjectSpec else made.provenance.get("converter")
        return made if mark == self._mark() and digest in (None, made.digest) else None

    def _mark(self) -> str:
        return f"{self._source}; converter {CONVERTER}"

    def _object(self, shape: Path, path: Path, digest: str | None) -> ObjectSpec:
        """Convert the object in the folder ``shape``, or take the file that is there."""
        kept: ObjectSpec | None = self._kept(ObjectSpec, path, digest)
        if kept is not None:
            return kept
        mesh = _mesh(shape / f"{shape.name}.stl")
        hulls = [_mesh(p).convex_hull for p in sorted(shape.glob("contact*.stl"), key=lambda p: int(p.stem[7:]))]
        parts = tuple((np.array(h.vertices, dtype=np.float64), np.array(h.faces, dtype=np.int32)) for h in hulls)
        made = ObjectSpec(
            name=shape.name,
            vertices=np.array(mesh.vertices, dtype=np.float64),
            faces=np.array(mesh.faces, dtype=np.int32),
            parts=parts,
            mass=mass_from_density(parts),
            source=self._mark(),
        )
        made.save(path)
        return made

    def _recording(self, motion: Path, name: str, spec: ObjectSpec, hand: MyoHand) -> Recording:
        """Convert one motion: keypoints by forward kinematics, the object's offset, the glitch at frame 0, the table at z = 0."""
        _, a = read_arrays(motion)
        try:
            time, joints, pose = (np.asarray(a[field], dtype=np.float64) for field in ("time", "robot", "object"))
            if joints.shape != (len(time), len(JOINTS)) or pose.shape != (len(time), 7):
                raise ValueError(f"shapes {joints.shape} and {pose.shape}")
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{motion.name}: a field is missing or wrong ({error}).", remedy="use the version named above.") from None
        position = pose[:, :3] + hand.object_offset_w
        jump = float(np.linalg.norm(position[1] - position[0]))
        first = 1 if jump > GLITCH else 0
        table = float(lowest_z(spec.vertices, position[first], pose[first, 3:]))
        flags = []
        if first:
            flags.append(f"frame 0 dropped: the object jumps {1e3 * jump:.1f} mm to frame 1")
        if abs(table) > TABLE_OFF:
            flags.append(f"table height: everything moved by {-1e3 * table:.0f} mm in z, so that the object begins on the table")
        up = np.array([0.0, 0.0, table])
        made = Recording(
            name=name,
            object_name=spec.name,
            side="right",
            time=time[first:] - time[first],
            keypoints_w=hand.keypoints(joints[first:]) - up,
            object_position_w=position[first:] - up,
            object_quaternion_w=pose[first:, 3:],
            dataset=self.name,
            licence=self.licence,
            provenance={
                "converter": self._mark(), "file": MOTIONS + motion.name, "frames_dropped": first, "shift_z_m": -table, "dextrack": __version__,
            },
        )  # fmt: skip
        return dataclasses.replace(made, flags=(*flags, *faults.find(made, spec)))


def _mesh(path: Path) -> trimesh.Trimesh:
    """Read a triangle mesh with its equal vertices merged.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return trimesh.load_mesh(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name}: this mesh cannot be read ({error}).", remedy="use the version named above.") from None
