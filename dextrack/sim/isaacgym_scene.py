"""The scene of a tracking task in Isaac Gym: hand on a floating base, object, table, once per environment. Names in and out, no tensors yet.

Settings are the paper's (App. C): 1/60 s in 2 substeps, TGS with 8 position and no velocity iterations, contact offset 2 mm, friction 1, gravity off
for the hand. What the paper leaves open is its release's, and room on the GPU is that of IsaacGymEnvs' hands. Of ``Physics``, ``iterations`` (Newton),
``impratio`` and ``torsional_friction`` have no counterpart in PhysX and are not used.

Fingers that touch each other rub with the hand's friction, where the MuJoCo scene lets them slide: a shape has one friction for all that it meets.

Sources: the published stubs of gymapi for names, arguments and fields; the examples of IsaacGymEnvs for the order of calls; ``sim`` of
AllegroHandTrackingGeneralist.yaml in the authors' release (github.com/Meowuu7/DexTrack) and of ShadowHand.yaml in IsaacGymEnvs 1.5.1 for settings. A
contact's friction is taken to be the mean of its shapes', PhysX's default.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import InputError, RefusedError
from dextrack.hands.spec import HandSpec
from dextrack.objects.spec import ObjectSpec
from dextrack.sim.mjcf_facts import armatures, collision_filters, untouchable
from dextrack.sim.object_urdf import write_object_urdf
from dextrack.sim.physics import OBJECT, Physics
from dextrack.sim.wrist_urdf import floating_urdf

Floats = NDArray[np.float64]

TGS = 1
"""PhysX's number of the solver."""
POSITION_ITERATIONS, VELOCITY_ITERATIONS = 8, 0
"""Of the TGS solver (paper, App. C)."""
CONTACT_OFFSET = 0.002
"""Shapes nearer than the sum of their offsets make contacts, m (paper, App. C)."""
BOUNCE_THRESHOLD_VELOCITY = 0.2
"""Slower contacts do not bounce, m/s (release)."""
MAX_DEPENETRATION_VELOCITY = 1000.0
"""With which shapes that overlap may be pushed apart, m/s: in effect without bound (release)."""
BUFFER_SIZE_MULTIPLIER = 5.0
"""Of PhysX's own sizes of its buffers (release)."""
MAX_GPU_CONTACT_PAIRS = 8 * 1024 * 1024
"""Of all worlds (IsaacGymEnvs, up to 16,384 hands; the release leaves Isaac Gym's own). PhysX drops what has no room, and says so on its output alone."""
FRICTION = 1.0
"""Of the hand's and the table's shapes (paper, App. C); where there is an object, they have its friction, which is 1 unless it says otherwise."""
NO_VELOCITY_LIMIT = 1000.0
"""The URDF's velocity limits would brake the joints, which those of the other backends do not; m/s or rad/s."""
SPACING = 1.0
"""Half an environment's edge, m."""


@dataclasses.dataclass(frozen=True)
class GymScene:
    """A prepared simulation and where things are in it."""

    gym: Any
    sim: Any
    envs: Tuple[Any, ...]
    """Handles of the W environments."""
    hand_actors: Tuple[int, ...]
    """Index of each hand in the root state tensor, (W,)."""
    object_handles: Tuple[int, ...]
    """Handle of each object in its environment, (W,); () without an object."""
    object_actors: Tuple[int, ...]
    """Index of each object in the root state tensor, (W,); () without an object."""
    object_centre_o: Optional[Floats]
    """The object's centre of mass in its frame, (3,) m; None without an object."""
    dof_names: Tuple[str, ...]
    """Joints in the engine's order, which is not ours."""
    urdf: str
    """The hand on its floating base."""
    gpu: bool
    """Whether the tensors are on the GPU."""


def shape_friction(friction: float, others: float) -> float:
    """Friction of the object's shapes that makes its contacts with hand and table, whose shapes have ``others``, have ``friction``.

    The engine takes the mean of both shapes: a contact has at least half of ``others``.
    """
    # Each value is a material of PhysX, and there are 64 thousand: three digits keep any number of worlds far below.
    return round(max(2.0 * friction - others, 0.0), 3)


def sim_params(gymapi: Any, physics: Physics, gpu: bool, n_threads: int) -> Any:
    """``gymapi.SimParams`` of ``physics``; ``n_threads`` is of the CPU solver, 0: Isaac Gym's own choice."""
    params = gymapi.SimParams()
    params.dt = physics.period
    params.substeps = physics.substeps
    params.up_axis = gymapi.UP_AXIS_Z
    params.gravity = gymapi.Vec3(0.0, 0.0, -9.81)
    params.use_gpu_pipeline = gpu
    params.physx.use_gpu = gpu
    params.physx.solver_type = TGS
    params.physx.num_position_iterations = POSITION_ITERATIONS
    params.physx.num_velocity_iterations = VELOCITY_ITERATIONS
    params.physx.contact_offset = CONTACT_OFFSET
    params.physx.rest_offset = 0.0
    params.physx.bounce_threshold_velocity = BOUNCE_THRESHOLD_VELOCITY
    params.physx.max_depenetration_velocity = MAX_DEPENETRATION_VELOCITY
    params.physx.default_buffer_size_multiplier = BUFFER_SIZE_MULTIPLIER
    params.physx.max_gpu_contact_pairs = MAX_GPU_CONTACT_PAIRS
    if n_threads:
        params.physx.num_threads = n_threads
    return params


def build_scene(
    gymapi: Any, hand: HandSpec, base_quaternion_w: Floats, obj: Optional[ObjectSpec], physics: Physics, n_worlds: int, table: bool, device: str, n_threads: int
) -> GymScene:
    """Make the simulation and everything in it, up to ``prepare_sim``.

    Args:
        gymapi: the module ``isaacgym.gymapi``.
        hand: the robot hand.
        base_quaternion_w: (4,) wxyz, the reference's base frame.
        obj: the object, or None.
        physics: settings.
        n_worlds: environments.
        table: whether there is a table.
        device: ``cpu``, ``cuda:0``, ...
        n_threads: see ``sim_params``.

    Raises:
        InputError: Isaac Gym finds no NVIDIA driver, or could not make the simulation or read an asset.
        RefusedError: it could not prepare the simulation.
    """
    gpu = device != "cpu"
    gym, sim = _make_sim(gymapi, device, sim_params(gymapi, physics, gpu, n_threads))
    # One friction for all shapes: however an engine joins two of them, what comes out is the object's.
    friction = FRICTION if obj is None else obj.friction * physics.friction_scale
    if table:
        plane = gymapi.PlaneParams()
        plane.normal = gymapi.Vec3(0.0, 0.0, 1.0)
        plane.static_friction = plane.dynamic_friction = friction
        gym.add_ground(sim, plane)
    urdf = floating_urdf(hand.mjcf.with_suffix(".urdf").read_text(encoding="utf-8"), hand, base_quaternion_w)
    with tempfile.TemporaryDirectory(prefix="dextrack-") as name:
        hand_asset = _load_hand(gymapi, gym, sim, Path(name), urdf, hand, physics, friction)
        assets, centre = [hand_asset], None
        if obj is not None:
            centre = write_object_urdf(Path(name), obj, obj.mass * physics.mass_scale)
            assets.append(_load_object(gymapi, gym, sim, Path(name), friction))
        # The files are read when actors are made, at the latest.
        envs, actors = _populate(gymapi, gym, sim, assets, base_quaternion_w, n_worlds, _drives(gymapi, gym, hand_asset, hand, physics))
    if not gym.prepare_sim(sim):
        what = "Isaac Gym could not prepare %d worlds on %s." % (n_worlds, device)
        raise RefusedError(what, remedy="look at its own message above; take fewer worlds if memory ran out.")
    handles = [[gym.get_actor_index(env, actor, gymapi.DOMAIN_SIM) for actor in row] for env, row in zip(envs, actors)]
    return GymScene(
        gym=gym,
        sim=sim,
        envs=tuple(envs),
        hand_actors=tuple(row[0] for row in handles),
        object_handles=tuple(row[1] for row in actors if len(row) > 1),
        object_actors=tuple(row[1] for row in handles if len(row) > 1),
        object_centre_o=centre,
        dof_names=tuple(gym.get_asset_dof_names(hand_asset)),
        urdf=urdf,
        gpu=gpu,
    )


def _make_sim(gymapi: Any, device: str, params: Any) -> Tuple[Any, Any]:
    """Isaac Gym and an empty simulation on ``device``."""
    try:
        gym = gymapi.acquire_gym()
    except RuntimeError as error:
        # Its library is linked against libcuda.so.1, which comes with the driver.
        what = "Isaac Gym cannot be loaded (%s)." % error
        raise InputError(what, remedy="install NVIDIA's driver: Isaac Gym needs it in any case, with device=cpu too.") from None
    number = int(device.split(":")[1]) if ":" in device else 0
    sim = gym.create_sim(number, -1, gymapi.SIM_PHYSX, params)
    if sim is None:
        what = "Isaac Gym made no simulation on %s." % device
        raise InputError(what, remedy="look at its own message above, and at nvidia-smi; device=cpu needs the driver alone.")
    return gym, sim


def _load_hand(gymapi: Any, gym: Any, sim: Any, folder: Path, urdf: str, hand: HandSpec, physics: Physics, friction: float) -> Any:
    (folder / "hand.urdf").write_text(urdf, encoding="utf-8")
    options = gymapi.AssetOptions()
    options.fix_base_link = True
    options.disable_gravity = not physics.hand_gravity
    # Shapes are addressed by the body of the MJCF that they belong to.
    options.collapse_fixed_joints = False
    # The exported cylinders are the middles of capsules, whose end spheres stand beside them.
    options.replace_cylinder_with_capsule = True
    options.use_physx_armature = True
    options.linear_damping = options.angular_damping = 0.0
    options.default_dof_drive_mode = int(gymapi.DOF_MODE_POS)
    asset = _load(gym, sim, folder, "hand.urdf", options)
    filters = collision_filters(untouchable(hand))
    shapes = gym.get_asset_rigid_shape_properties(asset)
    for body, owned in zip(gym.get_asset_rigid_body_names(asset), gym.get_asset_rigid_body_shape_indices(asset)):
        for shape in shapes[owned.start : owned.start + owned.count]:
            shape.filter = filters.get(body, 0)
            shape.friction = friction
            shape.restitution = 0.0
    gym.set_asset_rigid_shape_properties(asset, shapes)
    return asset


def _load_object(gymapi: Any, gym: Any, sim: Any, folder: Path, friction: float) -> Any:
    options = gymapi.AssetOptions()
    # The parts are convex: each mesh is its own hull. Mass, centre and inertia are the file's.
    options.vhacd_enabled = False
    options.override_com = options.override_inertia = False
    options.linear_damping = options.angular_damping = 0.0
    asset = _load(gym, sim, folder, "object.urdf", options)
    shapes = gym.get_asset_rigid_shape_properties(asset)
    for shape in shapes:
        shape.friction = friction
        shape.restitution = 0.0
    gym.set_asset_rigid_shape_properties(asset, shapes)
    return asset


def _load(gym: Any, sim: Any, folder: Path, name: str, options: Any) -> Any:
    """The asset of a URDF that we wrote into ``folder``."""
    asset = gym.load_asset(sim, str(folder), name, options)
    if asset is None:
        raise InputError("Isaac Gym could not read %s." % name, remedy="look at its own message above; a part of an object may be no mesh that PhysX takes.")
    return asset


def _drives(gymapi: Any, gym: Any, asset: Any, hand: HandSpec, physics: Physics) -> Any:
    """The hand's structured array of drives: PD gains, effort limits and armature by joint name."""
    kp, kv, effort = hand.gains()
    armature = armatures(hand)
    drives = gym.get_asset_dof_properties(asset)
    for row, name in enumerate(gym.get_asset_dof_names(asset)):
        i = hand.joint_names.index(name)
        gain, limit = (physics.finger_gain_scale, physics.effort_scale) if i >= 6 else (1.0, 1.0)
        drives["driveMode"][row] = int(gymapi.DOF_MODE_POS)
        drives["stiffness"][row] = kp[i] * gain
        drives["damping"][row] = kv[i] * gain
        drives["effort"][row] = effort[i] * limit
        drives["velocity"][row] = NO_VELOCITY_LIMIT
        drives["armature"][row] = armature.get(name, 0.0)
        drives["friction"][row] = 0.0
    return drives


def _populate(gymapi: Any, gym: Any, sim: Any, assets: List[Any], base_quaternion_w: Floats, n_worlds: int, drives: Any) -> Tuple[List[Any], List[List[int]]]:
    """Make the environments; their handles, and per environment the actors' handles: hand, then object."""
    lower, upper = gymapi.Vec3(-SPACING, -SPACING, 0.0), gymapi.Vec3(SPACING, SPACING, SPACING)
    w, x, y, z = (float(v) for v in base_quaternion_w)
    poses = [
        gymapi.Transform(gymapi.Vec3(0.0, 0.0, 0.0), gymapi.Quat(x, y, z, w)),
        gymapi.Transform(gymapi.Vec3(0.0, 0.0, 1.0), gymapi.Quat(0.0, 0.0, 0.0, 1.0)),
    ]
    bodies = sum(gym.get_asset_rigid_body_count(asset) for asset in assets)
    shapes = sum(gym.get_asset_rigid_shape_count(asset) for asset in assets)
    envs, actors = [], []
    for i in range(n_worlds):
        env = gym.create_env(sim, lower, upper, max(1, int(n_worlds**0.5)))
        gym.begin_aggregate(env, bodies, shapes, True)
        # Group i: worlds do not touch each other. Filter -1: the hand's shapes keep those of the asset; 0: the object touches everything.
        row = [gym.create_actor(env, asset, pose, actor, i, mask, 0) for asset, pose, actor, mask in zip(assets, poses, ("hand", OBJECT), (-1, 0))]
        gym.end_aggregate(env)
        gym.set_actor_dof_properties(env, row[0], drives)
        envs.append(env)
        actors.append(row)
    return envs, actors
