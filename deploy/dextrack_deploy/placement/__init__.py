"""Placement: a reference is moved into the arm's reach and slowed down under its limits, or refused with the reason."""

from dextrack_deploy.placement.fit import PlacedTask, Placement, anchor, lying_at, place
from dextrack_deploy.placement.transform import PlanarTransform

__all__ = ["PlacedTask", "Placement", "PlanarTransform", "anchor", "lying_at", "place"]
