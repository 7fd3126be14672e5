"""Export to the files of the DexTrack authors' release; ``dextrack.references.released`` says what lies in one.

Layout, with the names that their loaders build::

    data/<prefix><reference>.npy                                                  the reference, as their retargeting saves it
    tracking_<reference>/ts_to_hand_obj_obs_reset_1_sorted_best.npy               the demonstration, as their evaluation saves it
    objects are not written: theirs are meshes and URDFs of their own assets, under the sequence's name

What changes on the way: the order of the fingers' joints, by name; the wrist's frame; quaternions become xyzw; everything becomes float32.
Targets of the wrist are converted as poses. Verdict and provenance have no place in these files; ``export.json`` has the verdict's outcome.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.files import replacing, usable_name
from dextrack.hands import WRIST_JOINTS
from dextrack.references import released
from dextrack.references.reference import CONTROL_PERIOD

RESULT = "ts_to_hand_obj_obs_reset_1_sorted_best.npy"
Single = NDArray[np.float32]


def write(demonstrations: Iterator[tuple[str, Demonstration]], folder: Path) -> dict[str, dict[str, Any]]:
    """Write two files per demonstration; see ``export.Format``.

    Raises:
        InputError: the release has no such hand, its period is not that of the release, or two demonstrations would get the same file.
    """
    details: dict[str, dict[str, Any]] = {}
    for name, demonstration in demonstrations:
        reference = demonstration.reference
        hand = released.released_hand(reference.hand_name)
        if not usable_name(reference.name):
            raise InputError(f"demonstration {name}: {reference.name!r} cannot be part of a file's name.", remedy="rename the reference.")
        if abs(reference.period - CONTROL_PERIOD) > 1e-9:
            raise InputError(f"demonstration {name}: its period is {reference.period:g} s, the release's 1/60 s.", remedy="export others with --names.")
        kinematic = reference_content(demonstration)
        result = result_content(demonstration)
        tracking = folder / f"tracking_{reference.name}" / RESULT
        if tracking.exists():
            raise InputError(f"demonstration {name}: another hand's has the same name in the release.", remedy="export one hand at a time with --names.")
        files = {folder / "data" / f"{hand.prefix}{reference.name}.npy": kinematic, tracking: result}
        for path, content in files.items():
            _save(path, content)
        details[name] = {"files": [str(path.relative_to(folder)) for path in files], "beyond_their_limits": _beyond(hand, kinematic, result)}
    return details


def reference_content(demonstration: Demonstration) -> dict[str, Single]:
    """What a reference file of the release holds (``released.REFERENCE_KEYS``), of the demonstration's reference."""
    r = demonstration.reference
    hand = released.released_hand(r.hand_name)
    wrist = released.wrist_to_release(hand, r.hand, r.base_quaternion_w)
    return {
        "robot_delta_states_weights_np": _single(np.concatenate([wrist, _columns(r.hand, r.joint_names, hand.tree)], axis=1)),
        "object_transl": _single(r.object_position_w),
        "object_rot_quat": _single(np.roll(r.object_quaternion_w, -1, axis=1)),
    }


def result_content(demonstration: Demonstration) -> dict[str, Single]:
    """What a result file of the release holds (``released.RESULT_KEYS``), of the demonstration, as the only trial."""
    d, r = demonstration, demonstration.reference
    hand = released.released_hand(r.hand_name)
    wrist = released.wrist_to_release(hand, d.hand, r.base_quaternion_w)
    states = np.concatenate([wrist, _columns(d.hand, r.joint_names, hand.isaac)], axis=1)
    reached = wrist[1:, 3:]
    aim = released.wrist_to_release(hand, d.targets, r.base_quaternion_w, near=reached)
    targets = np.concatenate([aim, _columns(d.targets, r.joint_names, hand.isaac)], axis=1)
    pose = np.concatenate([d.object_position_w, np.roll(d.object_quaternion_w, -1, axis=1)], axis=1)
    return {
        "optimized_hand_qs": _single(states)[None],
        "optimized_hand_qtars": _single(np.concatenate([states[:1], targets]))[None],
        "optimized_obj_pose": _single(pose)[None],
    }


def _columns(values: Any, names: tuple[str, ...], wanted: tuple[str, ...]) -> Any:
    """Columns ``wanted`` of ``values``, whose columns are called ``names``."""
    expected = set(WRIST_JOINTS) | set(wanted)
    if set(names) != expected:
        raise InputError(f"a demonstration's joint_names lack or add {sorted(set(names) ^ expected)}.", remedy="mine the reference again.")
    return values[:, [names.index(joint) for joint in wanted]]


def _single(values: Any) -> Single:
    return np.ascontiguousarray(values, dtype=np.float32)


def _beyond(hand: released.ReleasedHand, kinematic: dict[str, Single], result: dict[str, Single]) -> list[str]:
    """The wrist joints that leave the limits to which the release's simulator clamps."""
    rows = np.concatenate([kinematic["robot_delta_states_weights_np"], result["optimized_hand_qs"][0], result["optimized_hand_qtars"][0]])
    limits = np.repeat(hand.wrist_limits, 3)
    return [joint for joint, far in zip(WRIST_JOINTS, (np.abs(rows[:, :6]) > limits).any(axis=0), strict=True) if far]


def _save(path: Path, content: dict[str, Single]) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(released.encode(content))
    back = released.read(path, tuple(content))
    if not all(np.array_equal(back[key], values) for key, values in content.items()):
        raise InputError(f"{path.name}: what was written does not read back as it was.", remedy="export to another format, and report this.")
