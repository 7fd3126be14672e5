"""Keypoints of the MyoHand: forward kinematics of its joint positions, from the MJCF that its package ships."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError

Floats = NDArray[np.float64]

JOINTS = ("ARTx", "ARTy", "ARTz", "ARRx", "ARRy", "ARRz", "pro_sup", "deviation", "flexion") + (
    *("cmc_abduction", "cmc_flexion", "mp_flexion", "ip_flexion"),
    *(joint for k in (2, 3, 4, 5) for joint in (f"mcp{k}_flexion", f"mcp{k}_abduction", f"pm{k}_flexion", f"md{k}_flexion")),
)
"""Order of the 29 joint positions in a recording: m for the slides ARTx, ARTy, ARTz, rad for the others."""

ANCHORS_AND_TIPS = (
    "flexion",
    *("cmc_abduction", "mp_flexion", "ip_flexion", "THtip"),
    *(point for k, tip in ((2, "IFtip"), (3, "MFtip"), (4, "RFtip"), (5, "LFtip")) for point in (f"mcp{k}_flexion", f"pm{k}_flexion", f"md{k}_flexion", tip)),
)
"""For each of our 21 keypoints in order, the joint whose anchor it is; for the tips, the site."""


class MyoHand:
    """The hand of a recording, as a kinematic chain."""

    def __init__(self, mjcf: Path, object_name: str) -> None:
        """Load the scene that ``mjcf`` describes for ``object_name``.

        Args:
            mjcf: ``myohand_object.xml``, unpacked beside the files it includes.
            object_name: what ``OBJECT_NAME`` stands for.

        Raises:
            InputError: MuJoCo does not accept the scene, or it lacks a joint or site.
        """
        scene = mjcf.with_name(f"scene_{object_name}.xml")
        try:
            scene.write_text(mjcf.read_text(encoding="utf-8").replace("OBJECT_NAME", object_name), encoding="utf-8")
            self._model = mujoco.MjModel.from_xml_path(str(scene))
            self._address = [int(self._model.joint(name).qposadr[0]) for name in JOINTS]
            self._points = [(True, self._model.site(p).id) if p.endswith("tip") else (False, self._model.joint(p).id) for p in ANCHORS_AND_TIPS]
            self.object_offset_w = np.array(self._model.body(object_name).pos)
            """Where the object's body stands at zero, (3,), m: recorded object positions are relative to it."""
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{mjcf}: the hand's model cannot be loaded ({error}).", remedy="install again; if that does not help, report it.") from None
        self._data = mujoco.MjData(self._model)

    def keypoints(self, joints: Floats) -> Floats:
        """Keypoints (T, 21, 3), m, of joint positions ``joints`` (T, 29) in the order of ``JOINTS``; world frame of the recording."""
        out = np.empty((len(joints), len(self._points), 3))
        for t, q in enumerate(joints):
            self._data.qpos[self._address] = q
            mujoco.mj_kinematics(self._model, self._data)
            out[t] = [self._data.site_xpos[i] if site else self._data.xanchor[i] for site, i in self._points]
        return out
