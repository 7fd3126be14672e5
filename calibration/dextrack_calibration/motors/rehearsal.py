"""Rehearsal: simulated motors behind a pseudo terminal, with parameters that nobody but the peer is told."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from dextrack_deploy.twin.dynamixel.process import PeerProcess

from dextrack.hands.motors import Motors, MotorValues
from dextrack.hands.spec import HandSpec

SPREAD = {"kp": (0.65, 1.35), "kv": (0.6, 1.4), "effort": (0.7, 1.1)}
"""Range of each parameter of a made-up motor, as a part of the HandSpec's."""
DELAY_S = (0.008, 0.03)
"""Range of its delay, s."""


def made_up(hand: HandSpec, seed: int) -> Motors:
    """Motors of ``hand`` that differ from its HandSpec and from each other."""
    rng = np.random.default_rng(seed)
    joints = {}
    for name, effort in zip(hand.finger_joints, hand.effort, strict=True):
        kp, kv, part = (float(rng.uniform(*SPREAD[field])) for field in ("kp", "kv", "effort"))
        joints[name] = MotorValues(kp * hand.finger_kp, kv * hand.finger_kv, part * effort, float(rng.uniform(*DELAY_S)))
    return Motors(hand.name, joints)


def digest(motors: Motors) -> str:
    """SHA-256 of the values of ``motors``, hexadecimal."""
    return hashlib.sha256(json.dumps(_values(motors), sort_keys=True).encode("utf-8")).hexdigest()


def _values(motors: Motors) -> dict[str, Any]:
    """``motors`` as their file holds them."""
    fields = [f.name for f in dataclasses.fields(MotorValues)]
    return {"hand": motors.hand, "joints": {name: {field: getattr(m, field) for field in fields} for name, m in motors.joints.items()}}


@contextlib.contextmanager
def simulated(motors: Motors) -> Iterator[PeerProcess]:
    """A running bus peer whose joints ``motors`` move; raises DriverError when it does not start."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "motors.json"
        path.write_text(json.dumps(_values(motors)), encoding="utf-8")
        with PeerProcess(["--alone", "--hand", motors.hand, "--motors-file", str(path)]) as peer:
            yield peer
