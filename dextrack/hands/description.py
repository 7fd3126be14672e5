"""A hand's folder in the assets: its model and ``hand.json``, the figures that MJCF has no place for.

====================  =============================================================================================================
``side``              ``right`` or ``left``
``palm_body``         root body of the model: the wrist frame
``palm_axes_h``       unit vectors in the wrist frame: from wrist to fingers, out of the palm
``finger_joints``     names in motor-id order; their limits, and the mass, are the model's
``effort``            torque that a motor gives at the current limit that cells run, N m: one number, or one per joint
``effort_max``        published torque limit (near stall), N m: likewise
``velocity``          published velocity limit, rad/s: likewise
``finger_kp``         position gain, N m/rad
``finger_kv``         damping, N m s/rad
``rest``              open pose, rad
``keypoints``         human keypoint -> [body, [x, y, z] in its frame in m, weight]
``fingertips``        finger -> [body, centre of its pad in the body's frame in m, radius in m]; the thumb comes first
``sources``           where the figures come from, in words
====================  =============================================================================================================

The folder of a mirror image holds ``mirror_of`` (a hand), ``exchanged`` and ``reversed_joints`` (see ``hands.mirror.Mirror``) and ``sources``;
its model is made by ``python -m dextrack.hands.urdf_export``.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Dict, Iterable, Tuple

import mujoco
import numpy as np
from dextrack_assets import path

from dextrack.errors import InputError
from dextrack.hands.mirror import Mirror, mirror_hand, mirror_mjcf
from dextrack.hands.spec import Fingertip, HandSpec, Keypoint

_FIELDS = {
    "side", "palm_body", "palm_axes_h", "finger_joints", "effort", "effort_max", "velocity", "finger_kp", "finger_kv", "rest", "keypoints", "fingertips",
    "sources",
}  # fmt: skip
_MIRROR_FIELDS = {"mirror_of", "exchanged", "reversed_joints", "sources"}


@functools.lru_cache(maxsize=None)
def read_hand(name: str) -> HandSpec:
    """HandSpec of the hand whose folder among the shipped models is ``name``.

    Raises:
        InputError: ``hand.json`` misses a field, has an unknown one, or holds what is no hand.
    """
    return read_folder(path("models", name))


def read_folder(folder: Path) -> HandSpec:
    """HandSpec of the hand in ``folder``, which holds ``hand.json`` and the model, both as the module's docstring says."""
    given = _read(folder / "hand.json")
    mjcf = folder / (folder.name + ".xml")
    if "mirror_of" in given:
        return mirror_hand(read_folder(folder.parent / given["mirror_of"]), folder.name, mjcf, _mirror(given))
    try:
        return _hand(given, mjcf)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("%s: a field does not fit the model or the format (%s)." % (folder / "hand.json", error), remedy="see `hands.description`.") from None


def mirrored_models(names: Iterable[str]) -> Dict[Path, str]:
    """The model of every hand among ``names`` that is a mirror image: its file, and the text that it ought to hold."""
    out = {}
    for name in names:
        folder = path("models") / name
        given = _read(folder / "hand.json")
        if "mirror_of" in given:
            right = given["mirror_of"]
            out[folder / (name + ".xml")] = mirror_mjcf(path("models", right, right + ".xml"), name, _mirror(given))
    return out


def _read(file: Path) -> Dict[str, Any]:
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError("%s cannot be read (%s)." % (file, error), remedy="see `hands.description` for what it holds.") from None
    expected = _MIRROR_FIELDS if "mirror_of" in given else _FIELDS
    wrong = sorted(expected ^ set(given))
    if wrong:
        raise InputError(
            "%s: field %s is %s." % (file, wrong[0], "unknown" if wrong[0] in given else "missing"), remedy="its fields are: %s." % ", ".join(sorted(expected))
        )
    return dict(given)


def _mirror(given: Dict[str, Any]) -> Mirror:
    return Mirror(dict(given["exchanged"]), tuple(given["reversed_joints"]))


def _hand(given: Dict[str, Any], mjcf: Path) -> HandSpec:
    model = mujoco.MjModel.from_xml_path(str(mjcf))
    joints = tuple(str(j) for j in given["finger_joints"])
    ranges = np.array([model.joint(j).range for j in joints])

    def each(field: str) -> Tuple[float, ...]:
        value = given[field]
        return tuple(float(v) for v in value) if isinstance(value, list) else (float(value),) * len(joints)

    forward, outward = given["palm_axes_h"]
    return HandSpec(
        name=mjcf.stem,
        side=str(given["side"]),
        mjcf=mjcf,
        palm_body=model.body(given["palm_body"]).name,
        finger_joints=joints,
        lower=tuple(float(v) for v in ranges[:, 0]),
        upper=tuple(float(v) for v in ranges[:, 1]),
        effort=each("effort"),
        effort_max=each("effort_max"),
        velocity=each("velocity"),
        finger_kp=float(given["finger_kp"]),
        finger_kv=float(given["finger_kv"]),
        keypoints=tuple(Keypoint(human, model.body(body).name, _point(p), float(weight)) for human, (body, p, weight) in given["keypoints"].items()),
        fingertips=tuple(Fingertip(finger, model.body(body).name, _point(p), float(radius)) for finger, (body, p, radius) in given["fingertips"].items()),
        rest=tuple(float(v) for v in given["rest"]),
        palm_axes_h=(_point(forward), _point(outward)),
        mass=round(float(model.body_mass.sum()), 9),
    )


def _point(values: Any) -> Tuple[float, float, float]:
    x, y, z = values
    return float(x), float(y), float(z)
