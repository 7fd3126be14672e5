"""dex-retargeting and mink, asked the same question as our solver: bring the hand's keypoints near a person's, frame after frame.

Both are given the keypoints in the frame of the mean wrist, where their wrist angles are small, and begin at our first guess. Each frame begins at
the last one's solution, as both projects' examples do it. dex-retargeting runs its position mode (`PositionOptimizer`: SLSQP of nlopt over pinocchio)
on our URDF of the hand, to which links at the keypoints are added, on the six floating joints that the project adds for position mode. mink solves
frame tasks on sites at the keypoints with a free joint under the hand's root, by DAQP.
"""

from __future__ import annotations

import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import mink
import mujoco
import numpy as np
from dex_retargeting.retargeting_config import RetargetingConfig
from dex_retargeting.yourdfpy import DUMMY_JOINT_NAMES

from dextrack import rotations
from dextrack.hands.spec import KEYPOINTS, HandSpec, Keypoint
from dextrack.references.guess import first_guesses

DEX_POINTS = ("thumb_tip", "index_tip", "middle_tip", "ring_tip", "thumb_2", "index_2", "middle_2", "ring_2")
"""Keypoints that dex-retargeting's own configuration of the LEAP for position mode (configs/offline/leap_hand_right.yml) names."""


class Dex:
    """dex-retargeting in position mode."""

    def __init__(self, hand: HandSpec, points: Sequence[str]) -> None:
        """Build its optimiser for the keypoints named ``points``."""
        self._hand = hand
        chosen = [k for k in hand.keypoints if k.human in points]
        self._human = [KEYPOINTS.index(k.human) for k in chosen]
        with tempfile.TemporaryDirectory() as folder:
            urdf = Path(folder) / "hand.urdf"
            _with_links(hand.mjcf.with_suffix(".urdf"), urdf, chosen)
            config = RetargetingConfig(
                type="position",
                urdf_path=str(urdf),
                add_dummy_free_joint=True,
                target_link_names=["at_" + k.human for k in chosen],
                target_link_human_indices=np.array(self._human),
                low_pass_alpha=1.0,
            )
            self._solver = config.build()
        # The order of its joints -> ours: its dummies are the slides along and the hinges about x, y, z.
        names = [*DUMMY_JOINT_NAMES, *hand.finger_joints]
        self._order = np.array([self._solver.optimizer.robot.dof_joint_names.index(n) for n in names])

    def __call__(self, keypoints: np.ndarray, guess: np.ndarray) -> np.ndarray:
        """States (T, dof) for keypoints (T, 21, 3), beginning at ``guess`` (dof,)."""
        first = np.zeros(len(self._order))
        first[self._order] = guess
        self._solver.set_qpos(first.astype(np.float32))
        return np.array([self._solver.retarget(frame[self._human]) for frame in keypoints])[:, self._order].astype(np.float64)


def _with_links(urdf: Path, out: Path, keypoints: Sequence[Keypoint]) -> None:
    """Copy ``urdf``, with a massless link ``at_<keypoint>`` at each of ``keypoints`` and without meshes."""
    tree = ElementTree.parse(urdf)
    root = tree.getroot()
    for link in root.iter("link"):
        for kind in ("visual", "collision"):
            for shape in link.findall(kind):
                link.remove(shape)
    for k in keypoints:
        ElementTree.SubElement(root, "link", name="at_" + k.human)
        joint = ElementTree.SubElement(root, "joint", name="to_" + k.human, type="fixed")
        ElementTree.SubElement(joint, "origin", xyz=" ".join(map(str, k.offset)), rpy="0 0 0")
        ElementTree.SubElement(joint, "parent", link=k.body)
        ElementTree.SubElement(joint, "child", link="at_" + k.human)
    tree.write(out)


class Mink:
    """Differential inverse kinematics by mink, a few steps in every frame."""

    def __init__(self, hand: HandSpec, weights: Sequence[float], steps: int, settled: float = 1e-4) -> None:
        """One frame task for each of the hand's keypoints, of the square root of its weight; at most ``steps`` steps of more than ``settled`` rad."""
        self._hand, self._steps, self._settled = hand, steps, settled
        spec = mujoco.MjSpec.from_file(str(hand.mjcf))
        spec.body(hand.palm_body).add_freejoint(name="floating")
        for k in hand.keypoints:
            spec.body(k.body).add_site(name="at_" + k.human, pos=k.offset)
        self._model = spec.compile()
        self._human = [KEYPOINTS.index(k.human) for k in hand.keypoints]
        self._tasks = [
            mink.FrameTask("at_" + k.human, "site", position_cost=np.sqrt(w), orientation_cost=0.0, lm_damping=1e-6)
            for k, w in zip(hand.keypoints, weights, strict=True)
        ]
        self._limits = [mink.ConfigurationLimit(self._model)]
        self._fingers = np.array([self._model.joint(j).qposadr[0] for j in hand.finger_joints])
        root = self._model.joint("floating").qposadr[0]
        self._position, self._quaternion = slice(root, root + 3), slice(root + 3, root + 7)

    def __call__(self, keypoints: np.ndarray, guess: np.ndarray) -> np.ndarray:
        """States (T, dof) for keypoints (T, 21, 3), beginning at ``guess`` (dof,)."""
        q = np.zeros(self._model.nq)
        q[self._position], q[self._quaternion] = guess[:3], rotations.from_hinges(guess[3:6])
        q[self._fingers] = guess[6:]
        configuration = mink.Configuration(self._model, q)
        found = []
        for frame in keypoints:
            for task, at in zip(self._tasks, frame[self._human], strict=True):
                task.set_target(mink.SE3.from_translation(at))
            for _ in range(self._steps):
                velocity = mink.solve_ik(configuration, self._tasks, 1.0, "daqp", damping=1e-6, limits=self._limits)
                configuration.integrate_inplace(velocity, 1.0)
                if np.abs(velocity).max() < self._settled:
                    break
            found.append(configuration.q.copy())
        states = np.array(found)
        hinges = np.unwrap(rotations.to_hinges(rotations.normalise(states[:, self._quaternion])), axis=0)
        return np.concatenate([states[:, self._position], hinges, states[:, self._fingers]], axis=1)


def solve(rival: Dex | Mink, keypoints_w: np.ndarray, hand: HandSpec) -> tuple[np.ndarray, np.ndarray]:
    """(base quaternion (4,), theta (T, dof)) that ``rival`` finds for keypoints (T, 21, 3) in the world."""
    base, (guess, _) = first_guesses(keypoints_w, hand)
    turn = rotations.to_matrix(base)
    theta = rival(keypoints_w @ turn, np.concatenate([guess[0, :3] @ turn, guess[0, 3:]]))
    theta[:, :3] = theta[:, :3] @ turn.T
    return base, theta
