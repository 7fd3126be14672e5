"""Physics engines behind one protocol. Adding one is a module and its line here."""

from dextrack.sim.backend import Backend, WorldState, backend_names, make_backend, register_backend
from dextrack.sim.rollouts import make_rollouts, register_rollouts, rollout_device, rollout_names

__all__ = [
    "Backend",
    "WorldState",
    "backend_names",
    "make_backend",
    "make_rollouts",
    "register_backend",
    "register_rollouts",
    "rollout_device",
    "rollout_names",
]

register_backend("isaacgym", "dextrack.sim.isaacgym_backend:make_isaacgym")
register_backend("mujoco", "dextrack.sim.mujoco_backend:make_mujoco")
register_backend("mujoco_warp", "dextrack.sim.mujoco_warp_backend:make_mujoco_warp")
register_backend("remote", "dextrack.sim.remote_backend:make_remote")

register_rollouts("mujoco", "dextrack.sim.mujoco_rollouts")
register_rollouts("mujoco_warp", "dextrack.sim.warp_rollouts")
