"""Physics engines behind one protocol. Adding one is a module that registers a backend, and one import line here."""

from dextrack.sim import mujoco_backend as _mujoco_backend
from dextrack.sim.backend import Backend, WorldState, backend_names, make_backend, register_backend
from dextrack.sim.scene import OBJECT, TABLE, Physics, Scene, build_scene

__all__ = ["OBJECT", "TABLE", "Backend", "Physics", "Scene", "WorldState", "backend_names", "build_scene", "make_backend", "register_backend"]

del _mujoco_backend
