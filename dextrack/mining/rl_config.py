"""Settings of the RL tracker. What the paper or its release gives is kept or named where it is not: the release trains 8,192 worlds on a GPU."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from dextrack.errors import InputError
from dextrack.sim.physics import Physics
from dextrack.tracking.config import ActionConfig, ObservationConfig, TrackingConfig

BACKENDS = ("mujoco", "mujoco_warp")
"""Whose worlds a tracker learns in: those that can be there twice, for learning and for evaluation."""

ROOM = ("contacts_per_world", "constraints_per_world")
"""Fields that say how much `mujoco_warp` allocates. A tracker that ran out of room goes on from its checkpoint with more."""

TASK = TrackingConfig(
    action=ActionConfig(wrist_translation_rate=0.15, wrist_rotation_rate=0.5, finger_rate=5.0),
    observation=ObservationConfig(object_feature=0, repeat_goal=False),
    start="uniform",
    start_first=0.25,
    start_offset=0.004,
    start_turn=0.04,
)
"""The task that a tracker learns. Ours: rates a quarter of the release's, for with those the noise of exploration adds up to a wide random walk; no feature
of the object, which one task has but one of, and no second copy of the goal; episodes begin anywhere in the sequence (paper: at its first frame)."""


@dataclasses.dataclass(frozen=True)
class PPOConfig:
    """PPO as rsl-rl-lib implements it."""

    hidden: tuple[int, ...] = (256, 128)
    """Widths of the hidden layers of actor and critic, ELU (release: seven layers from 8192 to 128, too wide for a processor)."""
    horizon: int = 32
    """Control steps of each world per iteration (release)."""
    epochs: int = 5
    """Passes over an iteration's transitions (release)."""
    minibatches: int = 4
    """Parts that a pass is cut into."""
    learning_rate: float = 5e-4
    """First step size of Adam; it adapts to ``desired_kl`` (release)."""
    desired_kl: float = 0.02
    """Divergence per update that the step size aims at (release: 0.008, with a hundred times the updates)."""
    gamma: float = 0.99
    """Discount (release)."""
    lam: float = 0.95
    """Lambda of the generalised advantage (release)."""
    clip: float = 0.2
    """Largest change of a probability's ratio (release)."""
    entropy: float = 0.0
    """Weight of the entropy bonus."""
    std: float = 0.2
    """First standard deviation of the actions; learnt from then on."""
    std_range: tuple[float, float] = (0.02, 0.6)
    """Bounds of that deviation: noise adds up in the residual, so there is no use in more."""
    bootstrap: bool = False
    """Whether an episode's value goes on beyond the reference's last frame, as of one that was cut off. With the phase in the observation the end is known,
    and nothing after it can be learnt: no step starts there, so the critic's guess of that frame is all that a short task's policy would follow."""
    reward_scale: float = 0.02
    """Multiplies rewards in learning, so that values are of the order of 1; reported returns are without it."""


@dataclasses.dataclass(frozen=True)
class CurriculumConfig:
    """The object position error that ends an episode, moved linearly at first (ours; the paper ends none early)."""

    active: bool = True
    """Whether there is one; otherwise episodes end as ``task.termination`` says."""
    first: float = 0.12
    """At the beginning, m."""
    last: float = 0.06
    """From ``steps`` control steps on, m."""
    steps: int = 1_000_000
    """Control steps, over all worlds, over which it moves; the budget does not matter, so that training may go on with a larger one."""

    def error(self, control_steps: int) -> float:
        """The bound, m, after ``control_steps``."""
        along = min(1.0, control_steps / self.steps) if self.steps else 1.0
        return self.first + along * (self.last - self.first)


@dataclasses.dataclass(frozen=True)
class RLConfig:
    """Settings of the RL tracker."""

    backend: str = "mujoco"
    """Physics of training and of the curve: `mujoco` on all cores, or `mujoco_warp` on a GPU. The verdict is MuJoCo's in either case."""
    device: str | None = None
    """Where worlds, networks and transitions are: `cuda:0` or `cpu`; None: the backend's choice, a GPU if it can use one."""
    contacts_per_world: int | None = None
    """Of `mujoco_warp`: room for contacts, shared by all worlds; None: measured. More room costs memory and changes no result."""
    constraints_per_world: int | None = None
    """Of `mujoco_warp`: room for rows of constraints, of each world; None: measured."""
    worlds: int = 128
    """Worlds stepped together (paper: 8192)."""
    budget: int = 3_000_000
    """Control steps, over all worlds, after which training stops."""
    evaluate_every: int = 10
    """Iterations between evaluations."""
    patience: int = 15
    """Evaluations without a better return or verdict after which training stops: its plateau, for which those before the end of the curriculum do not count."""
    improvement: float = 0.005
    """Reward per step by which a return must beat the best to end the wait."""
    phase: int = 4
    """Sines and cosines of the phase n / N that observations get beside the paper's (ours); 0: none."""
    vary: float = 0.2
    """Friction and mass of each training world are drawn from 1 +- this."""
    ppo: PPOConfig = PPOConfig()
    """The learner."""
    curriculum: CurriculumConfig = CurriculumConfig()
    """Early termination."""
    task: TrackingConfig = TASK
    """Observation, action, reward, starts."""
    physics: Physics = Physics()
    """The nominal world."""
    threads: int = 0
    """Threads of MuJoCo, and of torch in its turn; 0: all cores."""

    def __post_init__(self) -> None:
        """Refuse settings with which nothing could be learnt, by name."""
        if self.backend not in BACKENDS:
            raise InputError(f"RL tracker: backend {self.backend!r} is not one to learn in.", remedy=f"choose one of: {', '.join(BACKENDS)}.")
        if self.backend == "mujoco" and self.device not in (None, "cpu"):
            raise InputError(
                f"RL tracker: device is {self.device}, and backend mujoco runs on the CPU.", remedy="choose backend mujoco_warp, or leave device out."
            )
        for field in ROOM:
            room = getattr(self, field)
            if room is not None and (self.backend != "mujoco_warp" or room < 1):
                raise InputError(f"RL tracker: {field} is {room} of backend {self.backend}.", remedy="give at least 1, and to backend mujoco_warp alone.")
        least = {"worlds": 1, "budget": 0, "evaluate_every": 1, "patience": 1, "phase": 0, "threads": 0}
        for field, bound in least.items():
            if getattr(self, field) < bound:
                raise InputError(f"RL tracker: {field} is {getattr(self, field)}.", remedy=f"give at least {bound}.")
        if not 0.0 <= self.vary < 1.0:
            raise InputError(f"RL tracker: vary is {self.vary}.", remedy="give a part of 1, usually 0.2.")
        p = self.ppo
        for field in ("horizon", "epochs", "minibatches"):
            if getattr(p, field) < 1:
                raise InputError(f"RL tracker: ppo.{field} is {getattr(p, field)}.", remedy="give at least 1.")
        if self.worlds * p.horizon < p.minibatches:
            raise InputError(f"RL tracker: {p.minibatches} minibatches of {self.worlds * p.horizon} transitions.", remedy="give more worlds, or fewer parts.")
        for field in ("learning_rate", "desired_kl", "std", "reward_scale"):
            if not 0.0 < getattr(p, field) < math.inf:
                raise InputError(f"RL tracker: ppo.{field} is {getattr(p, field)}.", remedy="give a positive number.")
        if self.task.termination.horizon is not None:
            raise InputError("RL tracker: task.termination.horizon is set.", remedy="leave it out: episodes last to the reference's end.")
        if not p.hidden or min(p.hidden) < 1:
            raise InputError(f"RL tracker: ppo.hidden is {p.hidden}.", remedy="give the width of each hidden layer.")


def comparable(config: RLConfig) -> dict[str, Any]:
    """The configuration as JSON has it, without what does not change the result."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(dataclasses.replace(config, threads=0))))
    return {name: value for name, value in values.items() if name not in ROOM}
