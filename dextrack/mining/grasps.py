"""Other grasps for a reference: where its own slips, the same motion may hold with other contact points.

Each is drawn: which of the person's fingers take part, how near to the fingertips the pads have to be, how much opposition and the centre of mass count
against that, how far apart fingers keep. The hand follows the reference until it reaches out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from dextrack.objects.spec import ObjectSpec
from dextrack.references.contacts import ContactConfig
from dextrack.references.reference import Reference

CHOICES: dict[str, tuple[float | int, ...]] = {
    "distance_weight": (0.05, 0.15, 0.4, 1.0),
    "centre_weight": (0.5, 1.0, 2.0),
    "spacing": (0.018, 0.022, 0.026, 0.03),
    "near": (0.03, 0.06, 0.09),
    "reach": (0.03, 0.05),
    "window": (0, 60, 150),
    "scatter": (0.0, 0.01, 0.02),
}
"""What is drawn of a contact plan, each value as likely as the others."""
ARRIVE = 0.5
"""By this share of the way to the first contact the hand has gone over from the reference to the other grasp."""


def drawn(number: int, seed: int) -> dict[str, float | int]:
    """Settings of the contact plan of the ``number``-th grasp."""
    rng = np.random.default_rng([seed, number])
    return {field: rng.choice(values).item() for field, values in CHOICES.items()}


def other_grasp(
    reference: Reference, obj: ObjectSpec, number: int, seed: int = 0, last: int | None = None, unlike: Sequence[ArrayLike] = ()
) -> Reference | None:
    """The ``number``-th grasp for ``reference``: 0 is its own.

    Its motion of the object is the reference's; its hand begins at the reference's first state and holds the object elsewhere.

    Args:
        reference: what is to be tracked.
        obj: its object.
        number: of the grasp; the same number and seed give the same grasp.
        seed: of what is drawn.
        last: last frame that is wanted; the whole motion when None.
        unlike: contact points (F, 3), m, of grasps that are known already.

    Returns:
        None where fingers find no contact, or one like those of ``unlike``.
    """
    if number == 0:
        return reference
    # Retargeting imports torch, which most tasks of a campaign's workers never need.
    import torch

    from dextrack.references.retarget import regrasp

    contact = ContactConfig(**{**reference.provenance.get("config", {}).get("contact", {}), **drawn(number, seed)})
    # Its tensors are small: on cores that are busy with something else, threads of torch wait for each other for several times as long as one takes.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        other = regrasp(reference, obj, contact, number, last, unlike)
    finally:
        torch.set_num_threads(threads)
    if other is None:
        return None
    steps = max(1, int(ARRIVE * max(0, int(reference.diagnosis["onset"]) - contact.early_frames)))
    fade = np.clip(1.0 - np.arange(len(other.hand)) / steps, 0.0, 1.0)[:, None] ** 2
    return dataclasses.replace(other, hand=other.hand + fade * (reference.hand[0] - other.hand[0]))
