"""The protocol of served backends: what is asked, how arrays travel, and what both sides must agree on. Its frame is ``dextrack.link``'s.

=========== ================================================================== ==================================================
do          arguments                                                          result
=========== ================================================================== ==================================================
hello                                                                          protocol, version, session, backend, python, pid
open        client, hand, base_quaternion, object or None, physics, n_worlds,  worlds, joint_names, period, n_worlds
            table
again                                                                          nothing; it starts itself again
reset       worlds, arrays of ``Backend.reset`` (left out: its defaults)       a state
step        worlds, targets (W, 22)                                            a state
state       worlds                                                             a state
vary        worlds, friction_scale (W,), mass_scale (W,)
close       worlds
=========== ================================================================== ==================================================

Isaac Gym makes one simulation in a process, and an engine that failed may fail for good. Such a server answers ``open`` with ``again``: true, and stays.
Asked to do ``again`` it starts itself again at the same endpoint, whether or not the client hears the answer; the client comes back, and meets another
session.

``worlds`` names what ``open`` made: a client whose worlds were given to another cannot move the other's. A state holds the arrays of ``WorldState`` and
``bad_worlds``. An array is (dtype, shape, bytes). World frame, SI units, wxyz, columns of joints as ``HandSpec.joint_names``.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError
from dextrack.files import digest
from dextrack.hands.motors import FingerMotors
from dextrack.hands.spec import HandSpec
from dextrack.link import Protocol
from dextrack.objects.spec import ObjectSpec

PROTOCOL = Protocol("dextrack-sim", 2, "simulator server", largest_message=1 << 28)
DTYPES = ("<f8", "<i8", "<i4")
"""What an array may hold: doubles; indices; triangles."""
MOST_WORLDS = 1 << 16

Packed = Tuple[str, List[int], bytes]


def pack(array: NDArray[Any]) -> Packed:
    """An array as it travels."""
    contiguous = np.ascontiguousarray(array)
    return contiguous.dtype.str, list(contiguous.shape), contiguous.tobytes()


def unpack(packed: Any, what: str) -> NDArray[Any]:
    """The array that travelled as ``packed``; writable.

    Raises:
        InputError: it is none; ``what`` names it.
    """
    try:
        dtype, shape, raw = packed
        if dtype not in DTYPES:
            raise ValueError("it holds %r" % (dtype,))
        return np.frombuffer(raw, dtype=dtype).reshape([int(n) for n in shape]).copy()
    except (TypeError, ValueError) as error:
        raise InputError("%s: it is no array (%s)." % (what, error), remedy="run one version of DexTrack on both sides.") from None


def hand_facts(hand: HandSpec) -> Dict[str, Any]:
    """What both sides must agree on about the hand, as plain values."""
    lower, upper = hand.limits()
    kp, kv, effort = hand.gains()
    return {
        "name": hand.name,
        "joint_names": list(hand.joint_names),
        "lower": lower.tolist(),
        "upper": upper.tolist(),
        "kp": kp.tolist(),
        "kv": kv.tolist(),
        "effort": effort.tolist(),
        "fingertips": [[tip.finger, tip.body, *tip.offset] for tip in hand.fingertips],
        "model": digest(hand.mjcf),
    }


def with_motors(hand: HandSpec, facts: Dict[str, Any]) -> HandSpec:
    """``hand`` with the finger motors that ``facts`` of the same hand name: a demonstration may have been mined with measured ones.

    Raises:
        InputError: they are none.
    """
    try:
        kp, kv, effort = ([float(x) for x in facts[field][-len(hand.finger_joints) :]] for field in ("kp", "kv", "effort"))
        good = all(0.0 < x < 1e3 for x in (*kp, *kv, *effort)) and len(effort) == len(hand.finger_joints)
        if not good or len(set(kp)) != 1 or len(set(kv)) != 1:
            raise ValueError("not one kp and one kv for all fingers, and an effort for each, above 0")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError("hand %s: its motors are none (%s)." % (hand.name, error), remedy="run one version of DexTrack on both sides.") from None
    return FingerMotors(kp[0], kv[0], tuple(effort)).on(hand)


def differences(ours: Dict[str, Any], theirs: Dict[str, Any]) -> List[str]:
    """Where the facts of two hands differ, in words; empty where they agree."""
    found = []
    for field, here in ours.items():
        there = theirs.get(field)
        if here == there:
            continue
        if isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
            names = ours["joint_names"] if len(here) == len(ours["joint_names"]) else range(len(here))
            found += ["%s of %s is %s here and %s there" % (field, name, a, b) for name, a, b in zip(names, here, there) if a != b]
        else:
            found.append("%s is %s here and %s there" % (field, _short(here), _short(there)))
    return found


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def pack_object(obj: Optional[ObjectSpec]) -> Optional[Dict[str, Any]]:
    """An object as it travels: what physics needs of it."""
    if obj is None:
        return None
    parts = [[pack(np.asarray(v, dtype="<f8")), pack(np.asarray(f, dtype="<i4"))] for v, f in obj.parts]
    return {"name": obj.name, "mass": float(obj.mass), "friction": float(obj.friction), "parts": parts}


def unpack_object(packed: Optional[Dict[str, Any]]) -> Optional[ObjectSpec]:
    """The object that travelled as ``packed``; its mesh is that of all convex parts."""
    if packed is None:
        return None
    parts = tuple((unpack(v, "object: vertices of a part"), unpack(f, "object: faces of a part")) for v, f in packed["parts"])
    first = np.cumsum([0] + [len(v) for v, _ in parts])
    vertices, faces = np.concatenate([v for v, _ in parts]), np.concatenate([f + n for n, (_, f) in zip(first, parts)]).astype(np.int32)
    return ObjectSpec(str(packed["name"]), vertices, faces, parts, float(packed["mass"]), float(packed["friction"]))
