"""The environment: a tracking task in many worlds of a backend, stepped together.

A step is: action -> target -> one control period of physics -> reward on s_{n+1} -> episodes that ended begin again -> observation. There is no
loop over worlds, and what a step needs is allocated once. Targets and starts are in double precision, whatever the engine's; the task is in single.

All of it is on the device of the backend's worlds. On a GPU a step waits for the device once: to learn which episodes ended.

A world whose physics diverged, or whose action is not finite, is contained: its step is worth 0, it is flagged ``terminated`` and reported in
``StepInfo.bad_worlds``, and it begins again like any other. The others do not notice.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dextrack.errors import InputError, SimulationError
from dextrack.hands import HandSpec
from dextrack.sim import Backend, make_backend
from dextrack.sim.physics import Physics
from dextrack.sim.tensors import on_tensors
from dextrack.tracking import action, observation, reward, termination
from dextrack.tracking.bad_world import BadWorldFiles
from dextrack.tracking.config import TrackingConfig
from dextrack.tracking.start import Starts
from dextrack.tracking.task import Expert, TrackingTask

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class StepInfo:
    """What a step says besides observation, reward and done. Tensors of W worlds may be overwritten by the next step."""

    time_outs: Tensor
    """Flags (W,): the episode was cut off rather than ended; bootstrap its value with ``final_observation``."""
    terms: dict[str, Tensor]
    """The reward's weighted terms by name, (W,) each; not those of bad worlds."""
    bad: Tensor
    """Flags (W,): the world was contained in this step."""
    final_worlds: Tensor
    """Indices (n,) of the worlds whose episode ended in this step."""
    final_observation: Tensor
    """Their last observations, (n, size), before they began again."""

    @property
    def bad_worlds(self) -> Tensor:
        """Indices (n,) of the worlds that were contained in this step; on a GPU, asking waits for it."""
        return self.bad.nonzero().squeeze(1)


class TrackingEnv:
    """See the module's docstring. Actions are (W, 22) in [-1, 1], observations (W, ``layout.size``)."""

    def __init__(
        self,
        task: TrackingTask,
        hand: HandSpec,
        backend: Backend,
        config: TrackingConfig | None = None,
        expert: Expert | None = None,
        object_feature: Tensor | None = None,
        seed: int = 0,
        dump: Path | None = None,
    ) -> None:
        """Put ``task`` into all worlds of ``backend``; call ``reset`` before the first step.

        Args:
            task: reference, object, baseline.
            hand: the robot hand.
            backend: holds the object and the reference's base frame (``make_tracking_env`` sees to it).
            config: the task's configuration; the paper's when None.
            expert: where episodes that start mid-sequence take their states and residuals from; None: from the reference, with no residual.
            object_feature: (config.observation.object_feature,); None: zeros, which suits a tracker of one object.
            seed: of the frames that episodes start at.
            dump: folder that bad worlds are written to for reproduction, the first ``bad_world.LIMIT`` of them; see ``tracking.bad_world``. It costs a copy
                of all states per step. None: they are not.

        Raises:
            InputError: joints of reference, hand and backend differ, or the period does, or the feature does not fit, or the folder cannot be written.
        """
        config = config or TrackingConfig()
        if not task.reference.joint_names == hand.joint_names == tuple(backend.joint_names):
            raise InputError(f"task {task.reference.name}: its joints are not those of {hand.name}.", remedy="retarget the recording to this hand.")
        if abs(task.reference.period - backend.period) > 1e-9:
            raise InputError(
                f"task {task.reference.name}: its period is {task.reference.period:.6g} s, the backend's {backend.period:.6g} s.",
                remedy="set physics.period, or resample the reference.",
            )
        self.task, self.hand, self.backend, self.config = task, hand, backend, config
        self.n_worlds, self.n_steps = backend.n_worlds, task.reference.n_steps
        self.layout = observation.make_layout(config.observation, hand.joint_names, [f.finger for f in hand.fingertips])
        self.observation_size, self.action_size = self.layout.size, hand.dof
        self._worlds = on_tensors(backend)
        self.device = torch.device(self._worlds.device)
        """Where the worlds are, and every tensor that is given or taken."""
        self._bad_worlds = None if dump is None else BadWorldFiles(dump, task, hand, config, seed)
        self._starts = Starts(task, hand, config, expert, seed, self.device)
        self._weights = reward.hand_weights(config.reward, hand.dof).to(self.device)
        self._allocate(object_feature)

    def _allocate(self, object_feature: Tensor | None) -> None:
        w, dof, tips = self.n_worlds, self.hand.dof, len(self.hand.fingertips)
        zeros = functools.partial(torch.zeros, device=self.device)
        size = self.config.observation.object_feature
        feature = torch.zeros(size) if object_feature is None else torch.as_tensor(object_feature, dtype=torch.float32)
        if feature.shape != (size,) or not torch.isfinite(feature).all():
            raise InputError(
                f"object feature: it is not a finite vector of {size} numbers.", remedy="encode the object again, or set observation.object_feature."
            )
        reference = self.task.reference
        goal = np.concatenate([reference.hand, reference.object_position_w, reference.object_quaternion_w], axis=1)
        following = torch.as_tensor(np.concatenate([goal[1:], goal[-1:]]), device=self.device)
        # One row per frame n: what a step from n aims at and adds to, so that one gather serves a step.
        self._rows = torch.cat([following, self._starts.baseline], dim=1).float()
        self._rows[:, : dof + 7] = observation.canonical(self._rows[:, : dof + 7])
        self._row = zeros(w, dof + 7 + dof)
        self._feature = feature.to(self.device).repeat(w, 1)
        self._state, self._previous = zeros(w, dof + 7), zeros(w, dof + 7)
        self._velocity = zeros(w, dof + 6)
        self._tips = zeros(w, tips, 3)
        self._target = zeros(w, dof)
        self._delta = zeros(w, dof, dtype=torch.float64)
        self._frame, self._age = zeros(w, dtype=torch.int64), zeros(w, dtype=torch.int64)
        self._observation = zeros(w, self.layout.size)
        self._bad_count = zeros((), dtype=torch.int64)
        self._ready = False

    @property
    def frame(self) -> Tensor:
        """Frame n of the reference that each world is at, (W,)."""
        return self._frame

    @property
    def state(self) -> Tensor:
        """s_n of each world: theta, object position, object quaternion, (W, 22 + 7), single precision; the next step overwrites it."""
        return self._state

    @property
    def bad_count(self) -> int:
        """Worlds contained since the environment was made; on a GPU, asking waits for it."""
        return int(self._bad_count)

    def reset(self, frames: Tensor | int | None = None, object_pose_w: tuple[Floats, Floats] | None = None) -> Tensor:
        """Begin every world's episode and return the observations (W, size).

        Args:
            frames: start frames, (W,) or one for all, in [0, N); None: as the configuration says.
            object_pose_w: position (W, 3), m, and quaternion (W, 4), wxyz, at which the objects lie still instead of where the frames have them;
                later episodes begin as the configuration says again.
        """
        worlds = torch.arange(self.n_worlds, device=self.device)
        if frames is not None:
            frames = torch.as_tensor(frames, device=self.device).expand(self.n_worlds).to(torch.int64)
        self._begin(worlds, frames, object_pose_w)
        self._ready = True
        return self._observe()

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, StepInfo]:
        """Advance every world by one control period.

        Args:
            actions: (W, 22); components beyond [-1, 1] count as the nearest of the two.

        Returns:
            (observations (W, size), which the next step overwrites; rewards (W,); done flags (W,), time-outs included; ``StepInfo``).
        """
        if not self._ready:
            raise SimulationError("environment: step() was called before reset().", remedy="reset it first.")
        starts = self._starts
        baseline = starts.baseline.index_select(0, self._frame)
        targets, self._delta = action.accumulate(self._delta, actions, baseline, starts.step, starts.lower, starts.upper)
        # Within the limits, only NaN is not finite. A world whose action is not is given its last target, and begins again after the step.
        spoiled = targets.isnan().any(dim=1)
        targets = torch.where(spoiled.unsqueeze(1), self._target, targets)
        if self._bad_worlds is not None:
            self._bad_worlds.remember(self._worlds.tensors(), self._frame, actions, baseline, targets)
        self._worlds.step_tensors(targets)
        self._target.copy_(targets)
        self._frame += 1
        self._age += 1
        bad = self._worlds.bad_mask() | spoiled
        self._previous, self._state = self._state, self._previous
        self._sense()
        total, terms, ended, time_outs = self._judge(bad)
        done = ended | time_outs
        final_worlds, final_observation = self._end(done, bad)
        return self._observation, total, done, StepInfo(time_outs, terms, bad, final_worlds, final_observation)

    def _judge(self, bad: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor, Tensor]:
        """(reward, its terms, terminations, time-outs) of the states just sensed, against the goals that were in the last observation."""
        dof, s, g = self.hand.dof, self._state, self._row
        p, goal_p = s[:, dof : dof + 3], g[:, dof : dof + 3]
        total, terms = reward.reward(self.config.reward, self._weights, s[:, :dof], g[:, :dof], p, goal_p, s[:, dof + 3 :], g[:, dof + 3 : dof + 7], self._tips)
        ended = termination.terminated(self.config.termination, p, goal_p)
        ended = bad if ended is None else ended | bad
        time_outs = termination.timed_out(self.config.termination, self._frame, self._age, self.n_steps)
        # What ended by itself was not cut off.
        return total.masked_fill_(bad, 0.0), terms, ended, time_outs & ~ended

    def _end(self, done: Tensor, bad: Tensor) -> tuple[Tensor, Tensor]:
        """Observe, and begin again the worlds that are ``done``, ``bad`` ones among them; (those worlds, their last observations)."""
        worlds = done.nonzero().squeeze(1)
        if not len(worlds):
            return worlds, self._observe()[:0]
        self._bad_count += bad.sum()
        if self._bad_worlds is not None:
            self._bad_worlds.write(worlds[bad[worlds]])
        # The last observation of a contained world is of its last state that was finite.
        contained = bad.unsqueeze(1)
        torch.where(contained, self._previous, self._state, out=self._state)
        self._velocity.masked_fill_(contained, 0.0)
        self._tips.masked_fill_(contained.unsqueeze(2), 0.0)
        final = self._observe()[worlds]
        self._begin(worlds, None)
        self._observe()
        return worlds, final

    def _begin(self, worlds: Tensor, frames: Tensor | None, object_pose_w: tuple[Floats, Floats] | None = None) -> None:
        """Put ``worlds`` at the start of an episode and sense it; the states of others have not changed since they were sensed."""
        start = self._starts.draw(len(worlds), frames)
        if object_pose_w is not None:
            position, quaternion = (torch.as_tensor(part, dtype=torch.float64, device=self.device) for part in object_pose_w)
            start = start.with_object(position, quaternion)
        self._worlds.reset_tensors(
            start.hand,
            start.object_position_w,
            start.object_quaternion_w,
            worlds,
            hand_velocity=start.hand_velocity,
            targets=start.targets,
            object_velocity_w=start.object_velocity_w,
        )
        self._frame.index_copy_(0, worlds, start.frame)
        self._age.index_fill_(0, worlds, 0)
        self._delta.index_copy_(0, worlds, start.delta)
        self._target.index_copy_(0, worlds, start.targets.float())
        self._previous.index_copy_(0, worlds, start.previous.float())
        self._sense()

    # What it writes was there before, so nobody gets a tensor that autograd may not touch; what is computed on the way costs a fifth less.
    @torch.inference_mode()
    def _sense(self) -> None:
        """Read the backend into the preallocated tensors, in whatever precision it has."""
        s, dof = self._worlds.tensors(), self.hand.dof
        torch.cat([s.hand, s.object_position_w, s.object_quaternion_w], dim=1, out=self._state)
        self._tips.copy_(s.tips_w)
        if self.config.observation.velocity == "engine":
            self._velocity[:, :dof].copy_(s.hand_velocity)
            self._velocity[:, dof : dof + 3].copy_(s.object_linear_velocity_w)
            self._velocity[:, dof + 3 :].copy_(s.object_angular_velocity_w)

    @torch.inference_mode()  # as _sense
    def _observe(self) -> Tensor:
        """Write the observations of all worlds at their frames."""
        split = self.hand.dof + 7
        torch.index_select(self._rows, 0, self._frame, out=self._row)
        velocity = self._velocity
        if self.config.observation.velocity == "finite difference":
            velocity = observation.velocity_between(self._previous, self._state, self.backend.period)
        sensed = observation.Sensed(self._state, velocity, self._row[:, :split], self._row[:, split:], self._target, self._tips, self._feature)
        return observation.observe(self.config.observation, sensed, self._observation)


MakeEnvironment = Callable[..., TrackingEnv]
_ENVIRONMENTS: dict[str, MakeEnvironment] = {}


def register_environment(name: str) -> Callable[[MakeEnvironment], MakeEnvironment]:
    """Decorator that puts ``make(task, hand, backend=..., n_worlds=..., ...)`` under ``name`` in the registry."""

    def add(make: MakeEnvironment) -> MakeEnvironment:
        _ENVIRONMENTS[name] = make
        return make

    return add


def environment_names() -> tuple[str, ...]:
    """Names of the registered environments."""
    return tuple(sorted(_ENVIRONMENTS))


def make_environment(name: str, task: TrackingTask, hand: HandSpec, **options: object) -> TrackingEnv:
    """Make the environment ``name``; ``options`` as its maker's.

    Raises:
        InputError: no such environment.
    """
    if name not in _ENVIRONMENTS:
        raise InputError(f"environment {name!r} is not known.", remedy=f"choose one of: {', '.join(environment_names())}.")
    return _ENVIRONMENTS[name](task, hand, **options)


@register_environment("tracking")
def make_tracking_env(
    task: TrackingTask,
    hand: HandSpec,
    backend: str = "mujoco",
    physics: Physics | None = None,
    n_worlds: int = 1,
    config: TrackingConfig | None = None,
    expert: Expert | None = None,
    object_feature: Tensor | None = None,
    seed: int = 0,
    dump: Path | None = None,
    **options: object,
) -> TrackingEnv:
    """The ``tracking`` entry of the registry: a ``TrackingEnv`` over a new backend of the task's object and base frame, made with ``options``."""
    worlds = make_backend(backend, hand, task.reference.base_quaternion_w, task.object, physics=physics, n_worlds=n_worlds, **options)
    return TrackingEnv(task, hand, worlds, config, expert, object_feature, seed, dump)
