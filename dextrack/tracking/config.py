"""The whole configuration of the tracking task. Defaults are the paper's where it gives a value; what is ours or the authors' release's says so."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, Literal

from dextrack.errors import InputError
from dextrack.files import write_json
from dextrack.settings import require


@dataclasses.dataclass(frozen=True)
class ActionConfig:
    """Cumulative residual action; see ``tracking.action``."""

    wrist_translation_rate: float = 0.5
    """Change of the residual at action 1, m/s (release; the paper gives no scale)."""
    wrist_rotation_rate: float = 0.5
    """The same for the wrist's hinges, rad/s (release)."""
    finger_rate: float = 20.0
    """The same for finger joints, rad/s (release)."""
    baseline_lead: int = 0
    """The target adds to baseline[n + lead]: 0 in the paper, 1 in the release."""


@dataclasses.dataclass(frozen=True)
class ObservationConfig:
    """What the policy sees; see ``tracking.observation``."""

    object_feature: int = 256
    """Length of the object's feature vector (paper, App. A.2)."""
    repeat_goal: bool = True
    """Eq. 9 holds the goal that Eq. 8 holds already; False drops the second copy."""
    velocity: Literal["finite difference", "engine"] = "finite difference"
    """Velocities from successive states, as a robot has them (ours), or the simulator's own (release)."""


@dataclasses.dataclass(frozen=True)
class RewardConfig:
    """Weights of the reward; see ``tracking.reward``."""

    object_form: Literal["paper", "release"] = "paper"
    """Eq. 11 and 12, always on; or the release's: gated on the hand's proximity, without rotation."""
    object_position: float = 1.0
    """w_{o,p} (Table 3)."""
    object_rotation: float = 0.33
    """w_{o,q} (Table 3)."""
    wrist_translation: float = 0.3
    """w_wrist * w_trans (Table 3)."""
    wrist_rotation: float = 0.05
    """w_wrist * w_orn (Table 3)."""
    finger: float = 0.05
    """w_finger (Table 3), applied once: the release confirms that Eq. 10 and 14 do not mean its square."""
    affinity: float = 0.3
    """w_affinity (release; the paper gives neither formula nor weight)."""
    bonus: float = 1.0
    """Added where the object is within both bounds below (App. A.2)."""
    bonus_distance: float = 0.05
    """m (App. A.2)."""
    bonus_angle: float = math.radians(5.0)
    """rad (App. A.2)."""


@dataclasses.dataclass(frozen=True)
class TerminationConfig:
    """When an episode ends before its reference does; see ``tracking.termination``."""

    object_error: float | None = None
    """Object position error that ends an episode, m; None: none does (paper). The release has 0.2 as an option."""
    horizon: int | None = None
    """Control steps after which an episode is cut off, which is a time-out; None: the reference's end."""


@dataclasses.dataclass(frozen=True)
class TrackingConfig:
    """Everything that defines the task besides reference, object, hand and physics."""

    action: ActionConfig = dataclasses.field(default_factory=ActionConfig)
    observation: ObservationConfig = dataclasses.field(default_factory=ObservationConfig)
    reward: RewardConfig = dataclasses.field(default_factory=RewardConfig)
    termination: TerminationConfig = dataclasses.field(default_factory=TerminationConfig)
    start: Literal["first", "uniform"] = "first"
    """Frame at which episodes start: 0 (paper), or drawn uniformly from the sequence (ours)."""
    start_first: float = 0.0
    """Share of the episodes that start at frame 0 although frames are drawn (ours)."""
    start_offset: float = 0.0
    """Standard deviation, m, of the object's displacement in x and in y where an episode starts before the object has moved (ours)."""
    start_turn: float = 0.0
    """The same of its turn about the vertical, rad (ours)."""

    def __post_init__(self) -> None:
        """Refuse shares and deviations that make no sense."""
        if not 0.0 <= self.start_first <= 1.0:
            raise InputError(f"tracking: start_first is {self.start_first}.", remedy="give a share from 0 to 1.")
        require(self, "tracking", ("start_offset", "start_turn"), "give a standard deviation of 0 or more.")

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; ``from_dict`` reads it back."""
        return dataclasses.asdict(self)

    def save(self, path: Path) -> None:
        """Write the configuration as JSON."""
        write_json(path, self.as_dict())

    @staticmethod
    def from_dict(values: dict[str, Any]) -> TrackingConfig:
        """Read what ``as_dict`` gave.

        Raises:
            InputError: a key is unknown.
        """
        parts = {"action": ActionConfig, "observation": ObservationConfig, "reward": RewardConfig, "termination": TerminationConfig}
        try:
            return TrackingConfig(**{k: parts[k](**v) if k in parts else v for k, v in values.items()})
        except TypeError as error:
            raise InputError(f"tracking configuration: {error}.", remedy="write it again with this version of DexTrack.") from None
