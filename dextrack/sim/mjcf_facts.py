"""What a hand's MJCF says and its URDF cannot: the armature of joints, and which bodies do not collide. Read as text, without MuJoCo."""

from __future__ import annotations

import itertools
from typing import Dict, FrozenSet, List, Optional, Set
from xml.etree import ElementTree

from dextrack.errors import InputError
from dextrack.hands.spec import HandSpec

FILTER_BITS = 31
"""Bits of Isaac Gym's collision filter that are no sign."""


def armatures(hand: HandSpec) -> Dict[str, float]:
    """Armature of every finger joint, kg m2, by name: the joint's own, or that of its default class, or 0."""
    root = ElementTree.parse(str(hand.mjcf)).getroot()
    classes = {d.get("class"): d.find("joint") for d in root.iter("default")}
    out = {}
    for joint in root.findall("worldbody//joint"):
        default = classes.get(joint.get("class"))
        inherited = "0" if default is None else default.get("armature", "0")
        out[joint.get("name", "")] = float(joint.get("armature", inherited))
    return {name: out[name] for name in hand.finger_joints}


def untouchable(hand: HandSpec) -> Set[FrozenSet[str]]:
    """Pairs of bodies that do not collide: those that the MJCF excludes, those welded together, and parent and child, where welded bodies count as one."""
    root = ElementTree.parse(str(hand.mjcf)).getroot()
    world = root.find("worldbody")
    if world is None:
        raise InputError("%s: it has no worldbody." % hand.mjcf, remedy="correct the model.")
    solid: Dict[str, str] = {}
    parents: Dict[str, str] = {}

    def walk(element: ElementTree.Element, above: Optional[str]) -> None:
        for body in element.findall("body"):
            name = body.get("name", "")
            solid[name] = name if above is None or body.find("joint") is not None else solid[above]
            if above is not None and solid[name] == name:
                parents[name] = solid[above]
            walk(body, name)

    walk(world, None)
    pairs = {frozenset((e.get("body1", ""), e.get("body2", ""))) for e in root.findall("contact/exclude")}
    for a, b in itertools.combinations(solid, 2):
        if solid[a] == solid[b] or parents.get(solid[a]) == solid[b] or parents.get(solid[b]) == solid[a]:
            pairs.add(frozenset((a, b)))
    return pairs


def collision_filters(pairs: Set[FrozenSet[str]]) -> Dict[str, int]:
    """A collision filter per body: two bodies of ``pairs``, and no others, share a bit.

    Isaac Gym lets two shapes of a group collide where their filters have no bit in common. A bit serves all bodies that are pairwise untouchable.

    Raises:
        InputError: the pairs need more bits than there are.
    """
    groups: List[Set[str]] = []
    for pair in sorted(pairs, key=sorted):
        if any(pair <= group for group in groups):
            continue
        for group in groups:
            if all(frozenset(two) in pairs for two in itertools.combinations(group | pair, 2)):
                group |= pair
                break
        else:
            groups.append(set(pair))
    if len(groups) > FILTER_BITS:
        raise InputError("the hand's pairs of bodies that do not collide need %d bits." % len(groups), remedy="exclude fewer pairs in the MJCF.")
    return {body: sum(1 << i for i, group in enumerate(groups) if body in group) for body in set().union(*pairs)}
