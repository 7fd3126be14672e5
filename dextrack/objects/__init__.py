"""Objects: mesh, convex parts, mass, friction; point cloud; signed distance."""

from dextrack.objects.distance import SignedDistance, signed_distance
from dextrack.objects.geometry import lowest_z, point_cloud
from dextrack.objects.spec import ObjectSpec, mass_from_density

__all__ = ["ObjectSpec", "SignedDistance", "lowest_z", "mass_from_density", "point_cloud", "signed_distance"]
