"""Forward kinematics of fingertip pads from URDF text, batched in torch.

An engine of articulations moves its links only when it steps: after a reset the links are where they were. Joint positions are known at once, and
pads follow from them.
"""

from __future__ import annotations

import dataclasses
from typing import Dict, List, Optional, Sequence, Tuple
from xml.etree import ElementTree

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from dextrack import rotations
from dextrack.hands.spec import Fingertip


@dataclasses.dataclass(frozen=True)
class _Link:
    """A link and the joint above it."""

    name: str
    parent: str
    turn: Tensor
    """Rotation of the joint's frame in the parent's, (3, 3)."""
    shift: Tensor
    """Origin of the joint's frame in the parent's, (3,), m."""
    column: Optional[int]
    """Of theta; None: a fixed joint."""
    axis: Tensor
    """Unit axis in the joint's frame, (3,)."""
    slides: bool


class TipKinematics:
    """World positions of a hand's pads as a function of theta."""

    def __init__(self, urdf: str, root_quaternion_w: ArrayLike, joint_names: Sequence[str], tips: Sequence[Fingertip], device: str) -> None:
        """Read the chains from the root link of ``urdf``, which lies in the world's origin at ``root_quaternion_w`` (4,) wxyz, to ``tips``.

        Args:
            urdf: text of the hand on its floating base.
            root_quaternion_w: (4,) wxyz.
            joint_names: columns of theta.
            tips: the pads.
            device: torch's name of where theta is.
        """
        self._device = device
        joints = {str(j.find("child").get("link")): j for j in ElementTree.fromstring(urdf).findall("joint")}  # type: ignore[union-attr]
        columns = {name: i for i, name in enumerate(joint_names)}
        self._links: List[_Link] = []
        known = set()
        for tip in tips:
            above: List[_Link] = []
            body = tip.body
            while body in joints and body not in known:
                above.append(self._link(body, joints[body], columns))
                known.add(body)
                body = above[-1].parent
            self._links += reversed(above)
        self._root = next(link.parent for link in self._links if link.parent not in joints)
        self._base = self._tensor(rotations.to_matrix(root_quaternion_w))
        self._tips = [(tip.body, self._tensor(tip.offset)) for tip in tips]

    def _link(self, name: str, joint: ElementTree.Element, columns: Dict[str, int]) -> _Link:
        parent, origin, axis = joint.find("parent"), joint.find("origin"), joint.find("axis")
        assert parent is not None
        roll, pitch, yaw = _numbers(origin, "rpy", "0 0 0")
        # URDF: R = Rz(yaw) Ry(pitch) Rx(roll), the inverse of hinges at the negative angles.
        turn = rotations.to_matrix(rotations.conjugate(rotations.from_hinges([-roll, -pitch, -yaw])))
        direction = np.array(_numbers(axis, "xyz", "1 0 0"))
        return _Link(
            name=name,
            parent=str(parent.get("link")),
            turn=self._tensor(turn),
            shift=self._tensor(_numbers(origin, "xyz", "0 0 0")),
            column=None if joint.get("type") == "fixed" else columns[str(joint.get("name"))],
            axis=self._tensor(direction / np.linalg.norm(direction)),
            slides=joint.get("type") == "prismatic",
        )

    def _tensor(self, values: ArrayLike) -> Tensor:
        return torch.tensor(np.asarray(values), dtype=torch.float32, device=self._device)

    def __call__(self, theta: Tensor) -> Tensor:
        """Pad centres (W, F, 3), m, in the world, at ``theta`` (W, 22)."""
        n = len(theta)
        frames: Dict[str, Tuple[Tensor, Tensor]] = {self._root: (self._base.expand(n, 3, 3), torch.zeros(n, 3, device=self._device))}
        for link in self._links:
            rotation, position = frames[link.parent]
            position = position + rotation @ link.shift
            rotation = rotation @ link.turn
            if link.column is not None:
                q = theta[:, link.column, None]
                if link.slides:
                    position = position + q * (rotation @ link.axis)
                else:
                    rotation = rotation @ _rotation(link.axis, q[..., None])
            frames[link.name] = (rotation, position)
        return torch.stack([frames[body][1] + frames[body][0] @ offset for body, offset in self._tips], dim=1)


def _numbers(element: Optional[ElementTree.Element], key: str, default: str) -> List[float]:
    return [float(x) for x in (default if element is None else element.get(key, default)).split()]


def _rotation(axis: Tensor, angle: Tensor) -> Tensor:
    """Rotation matrices (W, 3, 3) about the unit ``axis`` (3,) by ``angle`` (W, 1, 1), rad (Rodrigues)."""
    x, y, z = axis.unbind()
    zero = torch.zeros_like(x)
    k = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
    return torch.eye(3, device=axis.device) + torch.sin(angle) * k + (1.0 - torch.cos(angle)) * (k @ k)
