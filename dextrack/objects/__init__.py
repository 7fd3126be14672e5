"""Rigid objects: mesh, convex parts, mass, friction, distances."""

from dextrack.objects.spec import DENSITY, MASS_RANGE, ObjectSpec, mass_from_density

__all__ = ["DENSITY", "MASS_RANGE", "ObjectSpec", "mass_from_density"]
