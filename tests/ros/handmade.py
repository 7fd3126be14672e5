"""A trial made by hand: a box on the table, fingers that wiggle and a wrist that moves 10 cm, far enough from the box to need no skill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh
from dextrack_deploy.arm.kinematics import ArmKinematics
from dextrack_deploy.cell import load_cell

from dextrack import rotations
from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.hands import load_hand
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import CONTROL_PERIOD, Reference

BOX = (0.06, 0.06, 0.08)
OBJECT_AT = (-0.05, 0.25)
"""Where the box stands, m: beside the hand's way."""
TRAVEL_M = 0.10


def make_object(path: Path) -> ObjectSpec:
    """A box of 6 x 6 x 8 cm."""
    mesh = trimesh.creation.box(BOX)
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces, dtype=np.int32)
    spec = ObjectSpec("box", vertices, faces, ((vertices, faces),), mass=0.1, source="made by a test")
    spec.save(path)
    return spec


def make_reference(seconds: float = 2.0, below_m: float = 0.05) -> Reference:
    """Begins and ends at rest ``below_m`` under the arm's home pose; the palm moves along y and the fingers close a little and open."""
    cell = load_cell("twin")
    hand = load_hand(cell.hand.model)
    position, quaternion = ArmKinematics(cell).palm_pose(np.array(cell.arm.home))
    n = round(seconds / CONTROL_PERIOD)
    phase = np.linspace(0.0, 1.0, n + 1)[:, None]
    ease = phase**3 * (10.0 - 15.0 * phase + 6.0 * phase**2)
    theta = np.zeros((n + 1, 22))
    theta[:, :3] = position + [0.0, 0.0, -below_m] + ease * [0.0, -TRAVEL_M, 0.0]
    lower, upper = np.array(hand.lower), np.array(hand.upper)
    wiggle = 0.2 * np.sin(2.0 * np.pi * ease) * (upper - lower)
    theta[:, 6:] = np.clip(np.array(hand.rest) + wiggle * 0.5, lower + 0.02, upper - 0.02)
    return Reference(
        "handmade", hand.name, "box", hand.joint_names, rotations.normalise(quaternion), theta,
        np.tile([*OBJECT_AT, BOX[2] / 2], (n + 1, 1)), np.tile([1.0, 0.0, 0.0, 0.0], (n + 1, 1)), np.zeros((n + 1, 21, 3)),
    )  # fmt: skip


def make_demonstration(seconds: float = 2.0, below_m: float = 0.05) -> Demonstration:
    """The reference's own next states as targets."""
    r = make_reference(seconds, below_m)
    return Demonstration(
        r, r.hand[1:], r.hand, np.gradient(r.hand, r.period, axis=0), r.object_position_w, r.object_quaternion_w, {}, {}, {"made_by": "a test"}
    )


def write_trial(folder: Path, seconds: float = 2.0, below_m: float = 0.05) -> tuple[Path, Path]:
    """(placed demonstration, object file) in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    placed, thing = folder / "placed.h5", folder / "box.npz"
    make_object(thing)
    store.save(placed, make_demonstration(seconds, below_m))
    return placed, thing
