"""Files of the authors' release (github.com/Meowuu7/DexTrack): what lies in one, in which order and frame, and reading it without trusting it.

A file is an ``.npy`` that holds one pickled dict. Two kinds concern us; T is the number of states, units are SI. We write float32, to which their loaders cast.

Kinematic references, ``data/<prefix><sequence>.npy`` (``leap_passive_active_info_`` for the LEAP, ``passive_active_info_`` for the Allegro):
    ``robot_delta_states_weights_np`` (T, 22) wrist slides and hinges, then fingers in the order of the **kinematic tree**;
    ``object_transl`` (T, 3); ``object_rot_quat`` (T, 4) **xyzw**.
Tracking results, ``ts_to_hand_obj_obs_reset_1_sorted_best.npy``, of k best trials (k = 1):
    ``optimized_hand_qs`` (k, T, 22) states and ``optimized_hand_qtars`` (k, T, 22) targets, wrist as above, fingers in the order of **Isaac Gym**;
    ``optimized_obj_pose`` (k, T, 7) position and quaternion xyzw. Row t of the targets is what led to state t; row 0 is the first state.

Order. Joints are matched by name. The tree of the LEAP goes 1, 0, 2, 3, because joint 1 carries joint 0, and likewise for the other fingers; the
Allegro's tree is in the order of its motors. Isaac Gym sorts the fingers by the names of their first joints as texts ("1" < "12" < "5" < "9"), which puts
the thumb second: their loader permutes the columns of a reference by ``argsort([0..9, 14..21, 10..13])``, and their hardware node names the same order
for the LEAP.

Frame. The wrist is three slides, then hinges about x, y, z (a rotation Rx Ry Rz), below a fixed root: identity for the Allegro; for the LEAP
``xyz="0 0.038 0.098" rpy="0 -1.57079 0"``, so that its first slide moves along the world's z. The palm frames are ours. z = 0 is the table top.

Source: the code that reads and writes these files and the URDFs that it loads; we had none of the released files themselves to compare with.
isaacgymenvs/tasks/allegro_hand_tracking_generalist.py (``_create_envs``), allegro_hand_tracking_play_demo.py (``_load_replay_fn``,
``_preload_single_tracking_ctl_data``), assets/leap_hand/leap_hand_right_fly_v5.urdf,
assets/allegro_hand_description/urdf/allegro_hand_description_right_fly_v2.urdf. Their LEAP data on a Franka arm stand in another frame, with an offset.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack import rotations
from dextrack.errors import InputError

Floats = NDArray[np.float64]

REFERENCE_KEYS = ("robot_delta_states_weights_np", "object_transl", "object_rot_quat")
RESULT_KEYS = ("optimized_hand_qs", "optimized_hand_qtars", "optimized_obj_pose")

_LARGEST = 200_000_000
"""Bytes beyond which a file is refused unread: the release's are below 1 MB, and of a pickle one cannot tell its size in memory."""


@dataclasses.dataclass(frozen=True)
class ReleasedHand:
    """How the release stores one of our hands."""

    prefix: str
    """What the names of its reference files begin with."""
    tree: tuple[str, ...]
    """Our names of the finger joints, in the order of a reference's columns."""
    isaac: tuple[str, ...]
    """Our names of the finger joints, in the order of a result's columns."""
    root_position_w: tuple[float, float, float]
    """Where the wrist's slides begin, m."""
    root_hinges: tuple[float, float, float]
    """Rotation of the wrist's slides and hinges, as angles about x, y, z, rad."""
    wrist_limits: tuple[float, float]
    """Limits of their slides, m, and hinges, rad: their simulator clamps targets to these."""


def _leap() -> ReleasedHand:
    fingers = [[str(4 * f + i) for i in (1, 0, 2, 3)] for f in range(3)]
    thumb = ["12", "13", "14", "15"]
    index, middle, ring = fingers
    return ReleasedHand(
        "leap_passive_active_info_",
        tuple(index + middle + ring + thumb),
        tuple(index + thumb + middle + ring),
        (0.0, 0.038, 0.098),
        (0.0, -1.57079, 0.0),
        (2.0, 3.14),
    )


def _allegro() -> ReleasedHand:
    index, middle, ring, thumb = ([f"joint_{4 * f + i}.0" for i in range(4)] for f in range(4))
    return ReleasedHand("passive_active_info_", tuple(index + middle + ring + thumb), tuple(index + thumb + middle + ring), (0.0,) * 3, (0.0,) * 3, (1.0, 3.14))


HANDS: dict[str, ReleasedHand] = {"leap_right": _leap(), "allegro_right": _allegro()}
"""Our hands that the release has too."""


def released_hand(name: str) -> ReleasedHand:
    """How the release stores our hand ``name``.

    Raises:
        InputError: it has no such hand.
    """
    if name not in HANDS:
        raise InputError(f"hand {name!r}: the authors' release has no such hand.", remedy=f"choose demonstrations of {' or '.join(HANDS)}.")
    return HANDS[name]


def wrist_to_release(hand: ReleasedHand, theta: ArrayLike, base_quaternion_w: ArrayLike, near: ArrayLike | None = None) -> Floats:
    """The six wrist coordinates (T, 6), m and rad, that put the release's palm where ours is.

    Args:
        hand: the release's hand.
        theta: (T, 22) or (T, 6), ours: the position is columns 0 to 2, the rotation base * Rx Ry Rz of columns 3 to 5.
        base_quaternion_w: (4,) wxyz, of the reference.
        near: (T, 3) angles, rad, to which each row's are chosen nearest; None: each row nearest to the one before it, the whole as near to zero as can be.
    """
    theta = np.asarray(theta, dtype=np.float64)
    root = rotations.conjugate(rotations.from_hinges(hand.root_hinges))
    position = rotations.rotate(root, theta[:, :3] - np.asarray(hand.root_position_w))
    rotation = rotations.multiply(root, rotations.multiply(base_quaternion_w, rotations.from_hinges(theta[:, 3:6])))
    return np.concatenate([position, _hinges(rotation, None if near is None else np.asarray(near, dtype=np.float64))], axis=1)


def _hinges(q: Floats, near: Floats | None) -> Floats:
    """Angles (T, 3) about x, y, z of rotations (T, 4): of the two solutions, and their full turns, those nearest to ``near`` or to the row before."""
    first = rotations.to_hinges(q)
    second = np.stack([first[:, 0] + np.pi, np.pi - first[:, 1], first[:, 2] + np.pi], axis=1)
    solutions = np.stack([first, second], axis=1)
    if near is not None:
        return np.stack([_nearest(s, n) for s, n in zip(solutions, near, strict=True)])
    paths = []
    for start in solutions[0]:
        path = [start]
        for s in solutions[1:]:
            path.append(_nearest(s, path[-1]))
        angles = np.stack(path)
        centre = (angles.max(axis=0) + angles.min(axis=0)) / 2
        paths.append(angles - 2 * np.pi * np.round(centre / (2 * np.pi)))
    return min(paths, key=lambda angles: float(np.abs(angles).max()))


def _nearest(solutions: Floats, to: Floats) -> Floats:
    """Of ``solutions`` (2, 3) and their full turns, the one nearest to ``to`` (3,)."""
    turned = solutions - 2 * np.pi * np.round((solutions - to) / (2 * np.pi))
    best: Floats = turned[int(np.argmin(np.linalg.norm(turned - to, axis=1)))]
    return best


def encode(content: dict[str, Any]) -> bytes:
    """The bytes of an ``.npy`` that holds ``content``, a dict of arrays, pickled as ``numpy.save`` of the release's time did.

    numpy 2 names its internal module ``numpy._core`` in a pickle, which the numpy of the release (Python 3.8) does not have; so the old name is written.
    """
    text = pickle.dumps(np.array(content, dtype=object), protocol=3).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": ()})
    return buffer.getvalue() + text


def read(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Read the arrays ``keys`` from a file of the release. Its pickle may make arrays and plain containers; whatever else it names is refused, not run.

    Returns:
        Name -> array, as stored (see the module's docstring).

    Raises:
        InputError: no such file, no such pickle, or an array is missing, not numeric or not finite.
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise InputError(f"{path}: there is no such file, or it is too large to be one of the release.", remedy="check the path.")
    try:
        with open(path, "rb") as f:
            if np.lib.format.read_magic(f) != (1, 0):
                raise ValueError("an .npy of another version")
            shape, _, dtype = np.lib.format.read_array_header_1_0(f)
            if dtype != np.dtype(object) or shape != ():
                raise ValueError("an array, not a dict")
            content = _Plain(f).load().item()
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__}, not a dict")
        arrays = {key: np.asarray(content[key]) for key in keys}
    except KeyError as error:
        raise InputError(f"{path}: field {error} is missing.", remedy="give a file of the authors' release, of the kind that is asked for.") from None
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"{path}: this is no file of the authors' release ({error}).", remedy="download or export it again.") from None
    for key, a in arrays.items():
        if a.dtype.kind != "f" or not np.isfinite(a).all():
            raise InputError(f"{path}: field {key} is not an array of finite numbers.", remedy="download or export it again.")
    return arrays


class _Plain(pickle.Unpickler):
    """An unpickler that knows arrays and nothing else."""

    _KNOWN = {(f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")} | {("numpy", "ndarray"), ("numpy", "dtype")}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array")
        return np.empty(0).__reduce__()[0] if name == "_reconstruct" else getattr(np, name)
