"""Reference: a retargeted recording, the states s_0 .. s_N of robot hand and object at the control period."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError
from dextrack.files import digest_arrays, read_arrays, write_arrays

Floats = NDArray[np.float64]

CONTROL_PERIOD = 1.0 / 60.0
"""Seconds between two states of a reference (paper, App. C: simulation and policy run at 60 Hz)."""

ALGORITHM = 3
"""Counted up with each change of what retargeting makes of the same inputs: `dextrack retarget` makes references of an earlier one again."""

_HEADER = ("name", "hand_name", "object_name", "joint_names", "period", "time_scale", "diagnosis", "provenance")
_ARRAYS = ("base_quaternion_w", "hand", "object_position_w", "object_quaternion_w", "keypoints_w")


@dataclasses.dataclass(frozen=True)
class Reference:
    """States of robot hand and object, N + 1 of them, at ``period``. World frame, SI units."""

    name: str
    hand_name: str
    object_name: str
    joint_names: tuple[str, ...]
    """Names of the columns of ``hand`` (22)."""
    base_quaternion_w: Floats
    """(4,) wxyz. The wrist's rotation is base * Rx(rx) Ry(ry) Rz(rz); its position is (tx, ty, tz)."""
    hand: Floats
    """(N + 1, 22): theta, m and rad."""
    object_position_w: Floats
    """(N + 1, 3), m."""
    object_quaternion_w: Floats
    """(N + 1, 4), wxyz."""
    keypoints_w: Floats
    """(N + 1, 21, 3): the human keypoints at the same times, m: shown in reports, and what other grasps are planned from."""
    period: float = CONTROL_PERIOD
    time_scale: float = 1.0
    """Recorded duration times this is the reference's duration: 1 is as recorded, 2 is half as fast."""
    diagnosis: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What retargeting measured: keypoint error, penetration, reach, jumps."""
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Digests of recording and object, configuration, seed, code version, dataset, licence."""

    def __post_init__(self) -> None:
        """Refuse wrong shapes, values that are not finite, and names that are none."""
        for field in ("name", "hand_name", "object_name"):
            if not isinstance(getattr(self, field), str):
                raise InputError(f"reference {self.name}: field {field} is not a text.", remedy="retarget the recording again.")
        if len(set(self.joint_names)) != len(self.joint_names) or not all(isinstance(j, str) for j in self.joint_names):
            raise InputError(f"reference {self.name}: field joint_names repeats a name, or holds what is none.", remedy="retarget the recording again.")
        n, d = len(self.hand), len(self.joint_names)
        shapes = {"base_quaternion_w": (4,), "hand": (n, d), "object_position_w": (n, 3), "object_quaternion_w": (n, 4), "keypoints_w": (n, 21, 3)}
        for field, shape in shapes.items():
            a = getattr(self, field)
            if a.shape != shape:
                raise InputError(f"reference {self.name}: field {field} has shape {a.shape}, not {shape}.", remedy="retarget the recording again.")
            if not np.isfinite(a).all():
                frame = int(np.argwhere(~np.isfinite(a))[0][0])
                raise InputError(f"reference {self.name}: field {field} is not finite at frame {frame}.", remedy="retarget the recording again.")
        for field in ("base_quaternion_w", "object_quaternion_w"):
            if (np.abs(np.linalg.norm(getattr(self, field), axis=-1) - 1.0) > 1e-3).any():
                raise InputError(f"reference {self.name}: field {field} is not of unit length.", remedy="retarget the recording again.")
        if n < 2 or not 0.0 < self.period < 1.0:
            raise InputError(f"reference {self.name}: {n} states at a period of {self.period} s.", remedy="retarget the recording again.")

    @property
    def n_steps(self) -> int:
        """N: control steps from the first state to the last."""
        return len(self.hand) - 1

    @property
    def digest(self) -> str:
        """SHA-256 of the arrays and the period."""
        return digest_arrays({**self._arrays(), "period": np.float64(self.period)})

    def _arrays(self) -> dict[str, Floats]:
        return {k: getattr(self, k) for k in _ARRAYS}

    def save(self, path: Path) -> None:
        """Write the reference as an ``.npz``."""
        header = {"kind": "reference", "version": 1, "digest": self.digest}
        header |= {k: getattr(self, k) for k in _HEADER}
        write_arrays(path, {**header, "header_digest": _header_digest(header)}, self._arrays())

    @staticmethod
    def load(path: Path) -> Reference:
        """Read what ``save`` wrote.

        Raises:
            InputError: the file is no reference, or its content does not match the digest it carries.
        """
        header, a = read_arrays(path)
        if header.get("kind") != "reference":
            raise InputError(f"{path}: this is not a reference.", remedy="give a file that `dextrack retarget` wrote.")
        try:
            reference = Reference(
                joint_names=tuple(header["joint_names"]),
                **{k: header[k] for k in _HEADER if k != "joint_names"},
                **{k: a[k].astype(np.float64) for k in _ARRAYS},
            )
        except KeyError as error:
            raise InputError(f"{path}: field {error} is missing.", remedy="retarget the recording again.") from None
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}: a field has the wrong type ({error}).", remedy="retarget the recording again.") from None
        # Files from before the header had a digest carry none.
        if header.get("digest") != reference.digest or header.get("header_digest") not in (None, _header_digest(header)):
            raise InputError(f"{path}: the content does not match its digest; the file was altered or damaged.", remedy="retarget the recording again.")
        return reference


def _header_digest(header: dict[str, Any]) -> str:
    """SHA-256 of what a file's header says beside the arrays: mining reads joint names and diagnosis."""
    return hashlib.sha256(json.dumps({k: header[k] for k in _HEADER}, sort_keys=True).encode()).hexdigest()


def file_of(folder: Path, name: str, hand_name: str) -> Path:
    """The file in ``folder`` for the reference ``name`` of a hand.

    It is the one that is there, else ``<name>.npz``, or ``<name>@<hand>.npz`` beside another hand's.
    """
    plain, own = folder / f"{name}.npz", folder / f"{name}@{hand_name}.npz"
    hands: dict[Path, str] = {}
    for path in (plain, own):
        # A file that cannot be read is nobody's: it is made again.
        with contextlib.suppress(InputError):
            if path.is_file():
                hands[path] = Reference.load(path).hand_name
    there = [path for path, hand in hands.items() if hand == hand_name]
    return there[0] if there else own if plain in hands else plain
