"""Other grasps for a reference: where its own slips, the same motion may hold with other contact points.

Each is a way of weighing the nearness to the human's fingertips against opposition and against grasping near the centre of mass.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from dextrack.hands.spec import load_hand
from dextrack.objects.spec import ObjectSpec
from dextrack.references.contacts import ContactConfig
from dextrack.references.reference import Reference

OTHERS = (
    {"distance_weight": 0.4, "centre_weight": 2.0},
    {"distance_weight": 0.05, "centre_weight": 1.5, "reach": 0.05},
    {"distance_weight": 0.4, "spacing": 0.03},
)
"""What differs from the reference's contact plan, one grasp each: nearer to the centre of mass; opposed at almost any price; fingers wide apart."""
ARRIVE = 0.5
"""By this share of the way to the first contact the hand has gone over from the reference to the other grasp."""


def other_grasp(reference: Reference, obj: ObjectSpec, number: int) -> Reference | None:
    """The ``number``-th grasp for ``reference``: 0 is its own.

    Its motion of the object is the reference's; its hand begins at the reference's first state and holds the object elsewhere.

    Returns:
        None where there is no such grasp, or it touches with the same points as the reference.
    """
    if number == 0:
        return reference
    if number > len(OTHERS):
        return None
    # Retargeting imports torch, which most tasks of a campaign's workers never need.
    from dextrack.references.retarget import regrasp

    contact = ContactConfig(**{**reference.provenance.get("config", {}).get("contact", {}), **OTHERS[number - 1]})
    other = regrasp(reference, obj, load_hand(reference.hand_name), contact)
    if other is None or other.diagnosis["contact_points_o"] == reference.diagnosis["contact_points_o"]:
        return None
    steps = max(1, int(ARRIVE * max(0, int(reference.diagnosis["onset"]) - contact.early_frames)))
    fade = np.clip(1.0 - np.arange(len(other.hand)) / steps, 0.0, 1.0)[:, None] ** 2
    return dataclasses.replace(other, hand=other.hand + fade * (reference.hand[0] - other.hand[0]))
