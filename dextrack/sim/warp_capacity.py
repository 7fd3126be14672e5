"""How much room MuJoCo Warp needs for contacts and constraints: it allocates once, and drops what has no room.

The room is measured by a probe on the scene itself. Worlds are put where they touch most: the hand pressed to the table, palm down, up or sideways, fingers
more or less closed on the object; and one hand is closed to a fist, as a shadow simulator's may be, in which no object stops the fingers. The probe doubles
what such a world has on average, which pairs of geoms near enough to be tested share with contacts, but gives no less than any had. It adds half to the most
constraints of any, and a row for every joint that has limits. Of a LEAP and a cube of 5 cm that is 104 and 432; a grasp uses 37 and 130. A contact's room is
about 6 kB.
"""

from __future__ import annotations

from typing import Tuple

import mujoco
import mujoco_warp as mjw
import numpy as np
import warp as wp

from dextrack import rotations
from dextrack.sim.scene import Scene
from dextrack.sim.warp_engine import PARKED_HAND_Z, PARKED_OBJECT, host_model, object_rows, put_model

PROBE_WORLDS = 32
PROBE_CONTACTS, PROBE_CONSTRAINTS = 384, 768
"""Room per world of the probe; counts go on where it is spent, so that even a probe that overflows measures."""
STEP = 8
"""Rooms are multiples of this."""


def probe(scene: Scene, device: str) -> Tuple[int, int]:
    """(contacts per world, constraints per world) that tracking in ``scene`` has room in. Deterministic."""
    configurations = np.concatenate([poses(scene, PROBE_WORLDS), fist(scene)[None]])
    n = len(configurations)
    with wp.ScopedDevice(device):
        model = put_model(scene, 1, device)
        data = mjw.make_data(host_model(scene), n, nconmax=PROBE_CONTACTS, njmax=PROBE_CONSTRAINTS)
        wp.copy(data.qpos, wp.array(configurations, dtype=float))
        mjw.fwd_position(model, data)
        pairs, contacts, constraints = int(data.ncollision.numpy()[0]), int(data.nacon.numpy()[0]), data.nefc.numpy()
        worlds = data.contact.worldid.numpy()[: min(contacts, data.naconmax)]
    most = int(np.bincount(worlds, minlength=1).max())
    # Where they touch most, joints are away from their limits; a hand that is driven against them has both.
    limits = int(scene.model.jnt_limited.sum())
    return _round_up(max(2.0 * max(pairs, contacts) / n, most)), _round_up(1.5 * constraints.max() + limits)


def poses(scene: Scene, n: int, seed: int = 0) -> np.ndarray:
    """Configurations (n, nq) of hands around the object and against the table."""
    rng = np.random.default_rng(seed)
    rest, upper = np.array(scene.hand.rest), np.array(scene.hand.upper)
    data = mujoco.MjData(scene.model)
    tips = [scene.model.site(f.finger + "_tip").id for f in scene.hand.fingertips]
    palm = scene.model.body(scene.hand.palm_body).id
    body, _ = object_rows(scene) if scene.object_qpos >= 0 else (-1, None)
    hand_geoms = (scene.model.geom_bodyid != body) & (scene.model.geom_bodyid != 0)
    rows = []
    for _ in range(n):
        curled = rest + rng.uniform(0.0, 0.8) * (upper - rest)
        quarter_turns = 0.5 * np.pi * rng.integers(0, 4, 3) + rng.normal(0.0, 0.05, 3)
        hand = np.concatenate([np.zeros(3), quarter_turns, curled])
        orientation = rotations.normalise(rng.normal(size=4))
        data.qpos[:] = scene.qpos(hand, np.zeros(3), orientation)
        mujoco.mj_kinematics(scene.model, data)
        # The lowest geom's centre lies on the table: what lies flat is in contact as a whole.
        hand[2] = -data.geom_xpos[hand_geoms, 2].min()
        grasp = 0.5 * (data.site_xpos[tips].mean(axis=0) + data.xpos[palm]) + [0.0, 0.0, hand[2]] + rng.normal(0.0, 0.01, 3)
        rows.append(scene.qpos(hand, grasp, orientation))
    return np.array(rows)


def fist(scene: Scene) -> np.ndarray:
    """Configuration (nq,) of a hand in the air with its fingers closed as far as they go, the object away from it."""
    hand = np.array(scene.hand.upper)
    return scene.qpos(np.concatenate([[0.0, 0.0, PARKED_HAND_Z, 0.0, 0.0, 0.0], hand]), PARKED_OBJECT, (1.0, 0.0, 0.0, 0.0))


def _round_up(count: float) -> int:
    return STEP * max(2, int(np.ceil(count / STEP)))
