"""Recording: what a dataset holds, a human hand's keypoints and an object's pose over time, and its file format.

The file is an ``.npz`` of plain arrays; anybody can write one with ``numpy.savez``:

=======================  ============  =================================================================================
``time``                 (T,)          stamps, s, strictly increasing (any rate; it need not be constant); T >= 5
``keypoints_w``          (T, 21, 3)    m, world frame (z up, table top at z = 0), order of ``hands.spec.KEYPOINTS``:
                                       wrist, then four points from base to tip of thumb, index, middle, ring, little
``object_position_w``    (T, 3)        m, origin of the object's mesh
``object_quaternion_w``  (T, 4)        wxyz
``header``               (n,) uint8    optional UTF-8 JSON: ``name``, ``object`` (file stem), ``side`` (right, left),
                                       ``dataset``, ``licence``, ``flags`` (list of texts), ``provenance`` (object)
=======================  ============  =================================================================================

For example::

    header = {"name": "mug_lift", "object": "mug", "side": "right"}
    numpy.savez("recordings/mug_lift.npz", header=numpy.frombuffer(json.dumps(header).encode(), dtype=numpy.uint8),
                time=time, keypoints_w=keypoints, object_position_w=position, object_quaternion_w=quaternion)

Without a header, the file's name up to the first underscore names the object, and the hand is a right one.
The object lies beside it, ``../objects/<object>.npz`` (see ``dextrack.objects``), or is one of your own (``dextrack data object MESH`` makes it),
of a data set, or of DexTrack itself.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.files import digest_arrays, read_arrays, usable_name, write_arrays

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Recording:
    """A human hand moving an object. World frame, SI units; see the module's docstring for shapes."""

    name: str
    object_name: str
    side: str
    """``right`` or ``left``."""
    time: Floats
    keypoints_w: Floats
    object_position_w: Floats
    object_quaternion_w: Floats
    dataset: str = ""
    licence: str = ""
    flags: tuple[str, ...] = ()
    """What is known to be wrong with it, in words; retargeting shows them."""
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What it was made from and how (JSON values): file, digest, shift of the table, frames dropped."""
    origin: Path | None = dataclasses.field(default=None, compare=False)
    """The file it was read from; its object lies near. Not saved."""

    def __post_init__(self) -> None:
        """Refuse NaN, wrong shapes, stamps that do not increase, zero quaternions, and lengths that are not metres."""
        for field, name in (("name", self.name), ("object", self.object_name)):
            if not usable_name(name):
                raise InputError(f"recording {self.name!r}: {field} {name!r} cannot be part of a file name.", remedy="correct the header.")
        n = self.time.size
        shapes = {"time": (n,), "keypoints_w": (n, 21, 3), "object_position_w": (n, 3), "object_quaternion_w": (n, 4)}
        if n < 5:
            raise InputError(f"recording {self.name}: field time has {n} frames.", remedy="a recording needs at least 5 frames.")
        for field, shape in shapes.items():
            a = getattr(self, field)
            if a.shape != shape:
                raise InputError(f"recording {self.name}: field {field} has shape {a.shape}, not {shape}.", remedy="see `dextrack data format`.")
            if not np.isfinite(a).all():
                frame = int(np.argwhere(~np.isfinite(a))[0][0])
                raise InputError(f"recording {self.name}: field {field} is not finite at frame {frame}.", remedy="cut or interpolate the bad frames.")
        if not (np.diff(self.time) > 0).all():
            raise InputError(f"recording {self.name}: field time does not increase.", remedy="sort the frames and drop duplicates.")
        if (np.abs(np.linalg.norm(self.object_quaternion_w, axis=1) - 1.0) > 1e-3).any():
            raise InputError(f"recording {self.name}: field object_quaternion_w is not of unit length.", remedy="normalise it; the order is wxyz.")
        if self.side not in ("right", "left"):
            raise InputError(f"recording {self.name}: side {self.side!r} is neither right nor left.", remedy="correct the header.")
        self._refuse_other_units()

    def _refuse_other_units(self) -> None:
        """Refuse a hand, a motion or a distance whose size tells that it is not in metres and seconds."""
        span = float(np.linalg.norm(self.keypoints_w[:, 9] - self.keypoints_w[:, 0], axis=1).mean())
        if not 0.04 <= span <= 0.2:
            raise InputError(
                f"recording {self.name}: field keypoints_w puts the middle finger's base {span:.4g} m from the wrist (a hand has 0.06 to 0.12 m).",
                remedy="give metres (not millimetres) and the 21 keypoints in the documented order.",
            )
        step = float(np.median(np.diff(self.time)))
        gap = float(np.diff(self.time).max())
        if not 1e-4 <= step <= 0.5:
            raise InputError(f"recording {self.name}: field time has steps of {step:.4g} s.", remedy="give seconds (not milliseconds or frame numbers).")
        if gap > 1.0:
            frame = int(np.diff(self.time).argmax())
            raise InputError(
                f"recording {self.name}: field time leaps {gap:.4g} s after frame {frame}.", remedy="cut the recording there, or correct the stamp."
            )
        far = float(np.abs(self.object_position_w).max())
        if far > 5.0:
            raise InputError(f"recording {self.name}: field object_position_w reaches {far:.4g} m.", remedy="give metres, not millimetres.")
        apart = float(np.linalg.norm(self.keypoints_w.mean(axis=1) - self.object_position_w, axis=1).min())
        if apart > 1.0:
            raise InputError(f"recording {self.name}: the hand stays {apart:.4g} m from the object.", remedy="give both in the same world frame, in metres.")

    @property
    def digest(self) -> str:
        """SHA-256 of the arrays."""
        return digest_arrays(self._arrays())

    def _arrays(self) -> dict[str, Floats]:
        return {k: getattr(self, k) for k in ("time", "keypoints_w", "object_position_w", "object_quaternion_w")}

    def save(self, path: Path) -> None:
        """Write the recording as an ``.npz``."""
        header = {"kind": "recording", "version": 1, "name": self.name, "object": self.object_name, "side": self.side}
        header |= {"dataset": self.dataset, "licence": self.licence, "flags": list(self.flags), "provenance": self.provenance}
        write_arrays(path, header, self._arrays())

    @staticmethod
    def load(path: Path) -> Recording:
        """Read a recording file, ours or hand-made.

        Raises:
            InputError: missing or malformed file or field.
        """
        path = Path(path)
        header, a = read_arrays(path)
        return dataclasses.replace(Recording.from_arrays(path.stem, header, a), origin=path.resolve())

    @staticmethod
    def from_arrays(stem: str, header: dict[str, Any], a: dict[str, Any]) -> Recording:
        """Make a recording from a file's ``header`` and arrays; ``stem`` names it where the header does not."""
        if header.get("kind", "recording") != "recording":
            raise InputError(f"{stem}: this file holds a {header['kind']}, not a recording.", remedy="give a recording; see `dextrack data format`.")
        missing = [k for k in ("time", "keypoints_w", "object_position_w", "object_quaternion_w") if k not in a]
        if missing:
            raise InputError(f"recording {stem}: field {missing[0]} is missing.", remedy="see `dextrack data format`.")
        try:
            values = {
                k: np.asarray(v).astype(np.float64, casting="same_kind" if np.iscomplexobj(v) else "unsafe")
                for k, v in a.items()
                if k in ("time", "keypoints_w", "object_position_w", "object_quaternion_w")
            }
        except (TypeError, ValueError) as error:
            raise InputError(f"recording {stem}: a field is not numeric ({error}).", remedy="see `dextrack data format`.") from None
        flags, provenance = header.get("flags", []), header.get("provenance", {})
        if not isinstance(flags, list) or not isinstance(provenance, dict):
            raise InputError(f"recording {stem}: flags or provenance in the header have the wrong type.", remedy="see `dextrack data format`.")
        name = str(header.get("name", stem))
        recording = Recording(
            name=name,
            object_name=str(header.get("object", name.split("_")[0])),
            side=str(header.get("side", "right")),
            dataset=str(header.get("dataset", "")),
            licence=str(header.get("licence", "")),
            flags=tuple(str(f) for f in flags),
            provenance=provenance,
            time=values["time"],
            keypoints_w=values["keypoints_w"],
            object_position_w=values["object_position_w"],
            object_quaternion_w=values["object_quaternion_w"],
        )
        if (np.abs(np.linalg.norm(recording.object_quaternion_w, axis=1) - 1.0) < 1e-9).all():
            return recording  # as it is: normalising again would change last bits, and with them the digest
        return dataclasses.replace(recording, object_quaternion_w=rotations.normalise(recording.object_quaternion_w))
