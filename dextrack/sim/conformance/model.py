"""What the suite knows of a hand beside its HandSpec, read from its MJCF as XML: where the pads are, and the inertia of its motors.

A second reader of the model, independent of every engine: an engine that takes one joint for another in what it gets and in what it returns
is found out by where its fingertips are.
"""

from __future__ import annotations

from typing import Dict, List, Tuple
from xml.etree.ElementTree import Element, parse

import numpy as np

from dextrack import rotations
from dextrack.hands.spec import HandSpec
from dextrack.sim.backend import Floats


class HandModel:
    """The bodies and joints of a hand's MJCF: hinges through the origins of their bodies, angles in radians."""

    def __init__(self, hand: HandSpec) -> None:
        """Read the MJCF of ``hand``."""
        self.hand = hand
        root = parse(str(hand.mjcf)).getroot()
        self._defaults: Dict[str, Element] = {d.get("class", ""): j for d in root.iter("default") for j in d.findall("joint")}
        palm = root.find("worldbody/body")
        assert palm is not None, "the MJCF has no body"
        self._chains: Dict[str, List[Element]] = {}
        self._walk(palm, [])

    def _walk(self, body: Element, above: List[Element]) -> None:
        chain = above + [body]
        self._chains[body.get("name", "")] = chain
        for child in body.findall("body"):
            self._walk(child, chain)

    def _of_joint(self, joint: Element, attribute: str, otherwise: str) -> str:
        """An attribute of a joint, or of its class."""
        default = self._defaults.get(joint.get("class", ""))
        return joint.get(attribute) or (default.get(attribute) if default is not None else None) or otherwise

    def last_joint(self, finger: int) -> Tuple[str, float]:
        """(name, armature in kg m2) of the joint nearest to the tip of ``hand.fingertips[finger]``."""
        for body in reversed(self._chains[self.hand.fingertips[finger].body]):
            joint = body.find("joint")
            if joint is not None:
                return joint.get("name", ""), float(self._of_joint(joint, "armature", "0"))
        raise AssertionError("no joint moves this finger")

    def tips(self, theta: Floats) -> Floats:
        """Pad centres (W, F, 3), m, world frame, at ``theta`` (W, 22), the base frame upright."""
        wrist = rotations.from_hinges(theta[:, 3:6])
        return np.stack([theta[:, :3] + rotations.rotate(wrist, self._tip_h(theta, tip.body, np.array(tip.offset))) for tip in self.hand.fingertips], axis=1)

    def _tip_h(self, theta: Floats, body: str, offset: Floats) -> Floats:
        """A point of ``body`` in the wrist frame, (W, 3), from the tip of the chain to the palm, whose frame is the wrist's."""
        point = np.tile(offset, (len(theta), 1))
        for link in reversed(self._chains[body][1:]):
            joint = link.find("joint")
            if joint is not None:
                axis = rotations.normalise(_numbers(self._of_joint(joint, "axis", "0 0 1")))
                angle = theta[:, self.hand.joint_names.index(joint.get("name", ""))]
                point = rotations.rotate(rotations.from_rotation_vector(angle[:, None] * axis), point)
            point = rotations.rotate(_orientation(link), point) + _numbers(link.get("pos", "0 0 0"))
        return point


def _orientation(body: Element) -> Floats:
    """Quaternion (4,) of a body in its parent; Euler angles are about the fixed axes x, then y, then z (``eulerseq="XYZ"``)."""
    if body.get("euler") is None:
        return rotations.normalise(_numbers(body.get("quat", "1 0 0 0")))
    x, y, z = (rotations.from_rotation_vector(a * e) for a, e in zip(_numbers(body.get("euler", "")), np.eye(3)))
    return rotations.multiply(z, rotations.multiply(y, x))


def _numbers(text: str) -> Floats:
    return np.array([float(x) for x in text.split()])
