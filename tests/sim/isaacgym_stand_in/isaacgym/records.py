"""Stand-in for the plain records of isaacgym.gymapi: fields with defaults, and no others."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any


class Record:
    """Fields by name; one that does not exist cannot be set, as in the real bindings."""

    FIELDS: dict[str, Any] = {}

    def __init__(self) -> None:
        for name, value in self.FIELDS.items():
            object.__setattr__(self, name, copy.deepcopy(value))

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.FIELDS:
            raise AttributeError("%s has no field %s" % (type(self).__name__, name))
        object.__setattr__(self, name, value)


class Vec3:
    def __init__(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> None:
        self.x, self.y, self.z = x, y, z


class Quat:
    """xyzw."""

    def __init__(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, w: float = 1.0) -> None:
        self.x, self.y, self.z, self.w = x, y, z, w


class Transform:
    def __init__(self, p: Vec3 = None, r: Quat = None) -> None:
        self.p, self.r = p or Vec3(), r or Quat()


class PhysXParams(Record):
    FIELDS = {
        "use_gpu": True, "solver_type": 1, "num_position_iterations": 4, "num_velocity_iterations": 1, "contact_offset": 0.02, "rest_offset": 0.001,
        "num_threads": 0, "bounce_threshold_velocity": 0.5, "max_depenetration_velocity": 100.0, "default_buffer_size_multiplier": 2.0,
        "max_gpu_contact_pairs": 1 << 20,
    }  # fmt: skip


class SimParams(Record):
    FIELDS = {"dt": 1.0 / 60.0, "substeps": 2, "up_axis": 0, "gravity": Vec3(0.0, -9.8, 0.0), "use_gpu_pipeline": False, "physx": PhysXParams()}


class PlaneParams(Record):
    FIELDS = {"normal": Vec3(0.0, 1.0, 0.0), "distance": 0.0, "static_friction": 1.0, "dynamic_friction": 1.0, "restitution": 0.0}


class AssetOptions(Record):
    FIELDS = {
        "angular_damping": 0.5, "armature": 0.0, "collapse_fixed_joints": False, "convex_decomposition_from_submeshes": False, "default_dof_drive_mode": 0,
        "density": 1000.0, "disable_gravity": False, "fix_base_link": False, "flip_visual_attachments": False, "linear_damping": 0.0, "override_com": False,
        "override_inertia": False, "replace_cylinder_with_capsule": False, "thickness": 0.02, "use_physx_armature": True, "vhacd_enabled": False,
    }  # fmt: skip


class RigidShapeProperties(Record):
    FIELDS = {
        "compliance": 0.0, "contact_offset": 0.02, "filter": 0, "friction": 1.0, "rest_offset": 0.001, "restitution": 0.0, "rolling_friction": 0.0,
        "thickness": 0.0, "torsion_friction": 0.0,
    }  # fmt: skip


class RigidBodyProperties(Record):
    FIELDS = {"flags": 0, "mass": 0.0}


class IndexRange(Record):
    FIELDS = {"start": 0, "count": 0}


class Tensor:
    """Describes memory: where it is, what it holds, its shape."""

    @staticmethod
    def of(memory: Callable[[], Any], dtype: int, shape: tuple) -> Tensor:
        tensor = Tensor()
        tensor.memory, tensor.dtype, tensor.shape = memory, dtype, shape
        return tensor
