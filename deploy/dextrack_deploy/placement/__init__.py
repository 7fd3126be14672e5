"""Placement: a reference is moved into the arm's reach and slowed down under its limits, or refused with the reason."""

from dextrack_deploy.placement.fit import PlacedTask, Placement, place
from dextrack_deploy.placement.lying import anchor, lying_at, seen_at
from dextrack_deploy.placement.transform import PlanarTransform

__all__ = ["PlacedTask", "Placement", "PlanarTransform", "anchor", "lying_at", "place", "seen_at"]
