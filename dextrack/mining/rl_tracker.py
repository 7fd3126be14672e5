"""The RL tracker: the paper's per-trajectory tracker, PPO on one tracking task with a chosen baseline.

The policy sees the observation of Eq. 8, adds cumulative residuals to the baseline and is rewarded by Eq. 10. Its mean action, rolled out from the
reference's first state in the nominal world, gives the targets, which are judged like any other tracker's: replayed open loop. How the
policy itself does in the perturbed worlds, closed loop, stands beside it in the provenance.

Training stops at its plateau, when neither the evaluation's return nor its verdict has improved for a while, or when the budget of control steps is
spent. Policies are chosen by how they do in four fixed worlds; the worlds of the verdict are seen once, at the end.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.hands.spec import load_hand
from dextrack.mining import rl_checkpoint
from dextrack.mining.demonstrating import demonstrate
from dextrack.mining.ensemble import MEMBERS, Member
from dextrack.mining.replays import perturbations
from dextrack.mining.rl_baseline import RLBaseline, rl_baseline
from dextrack.mining.rl_config import ROOM, RLConfig, comparable
from dextrack.mining.rl_env import RLEnv
from dextrack.mining.rl_evaluation import Evaluation, Recorder, Rollout, verdicts, zero_action
from dextrack.mining.rl_learner import Learner
from dextrack.objects.spec import ObjectSpec
from dextrack.references.reference import Reference
from dextrack.sim import Backend, make_backend
from dextrack.sim.scene import Scene, build_scene
from dextrack.sim.tensors import on_tensors
from dextrack.tracking.config import TerminationConfig
from dextrack.tracking.env import TrackingEnv
from dextrack.tracking.metrics import measure
from dextrack.tracking.task import TrackingTask
from dextrack.tracking.verdict import HELD_ERROR, hull_vertices

Progress = Callable[[float, float], None]
"""Called with (fraction of the budget spent, mean object position error of the newest evaluation, m)."""


def track_by_rl(
    reference: Reference,
    obj: ObjectSpec,
    baseline: Demonstration | None = None,
    config: RLConfig | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    dump: Path | None = None,
) -> Demonstration:
    """Train a tracker for one task, and judge the targets of its best policy.

    Args:
        reference: what to track.
        obj: its object.
        baseline: what residuals are added to: None for the reference (kinematics), a demonstration of it, or one of a parent.
        config: settings; the defaults when None.
        seed: of networks, noise, starts and training worlds; with the same number of threads, on the CPU, it gives the same demonstration.
        progress: called after each evaluation.
        checkpoint: file that training goes on from, if it is there, and is saved to at each evaluation.
        dump: folder for the states of training worlds that diverged; see ``TrackingEnv``.

    Returns:
        The demonstration, whether or not its verdict passes. Its provenance has ``curve`` (evaluations: control steps, processor seconds, return per
        step, mean object errors, parts of the verdict), ``zero`` (the same of the baseline alone), ``closed_loop`` and ``stopped`` ("plateau" or "budget").

    Raises:
        InputError: object, joints or baseline are not the reference's, the seed is negative, the backend cannot use the device, or the checkpoint is of
            another task or configuration.
    """
    config = config or RLConfig()
    began = time.monotonic()
    _check(reference, obj, seed)
    scene = build_scene(load_hand(reference.hand_name), reference.base_quaternion_w, obj, config.physics)
    worlds = _make_worlds(scene, reference, obj, config, config.worlds)
    plan = rl_baseline(reference, scene, baseline, config.task.action.baseline_lead)
    with _torch_to_itself(seed, config.threads, on_tensors(worlds).device):
        training = Training(reference, obj, scene, plan, config, seed, worlds, checkpoint, dump)
        training.run(progress)
        best = training.evaluate_best()
        closed = _closed_loop(training, best)
        training.close()
    provenance = {
        "tracker": "rl",
        "baseline": plan.origin,
        "config": comparable(config),
        "seed": seed,
        "control_steps": training.control_steps,
        "cpu_seconds": training.cpu_seconds,
        "stopped": training.stopped,
        "zero": training.zero,
        "curve": training.curve,
        "closed_loop": closed,
    }
    return demonstrate(scene, reference, obj, best.targets[0], provenance, began, config.threads)


class Training:
    """One task's training: the learner, its evaluation, the best policy so far, and the curve."""

    def __init__(
        self,
        reference: Reference,
        obj: ObjectSpec,
        scene: Scene,
        plan: RLBaseline,
        config: RLConfig,
        seed: int,
        worlds: Backend,
        checkpoint: Path | None = None,
        dump: Path | None = None,
    ) -> None:
        """Make networks for ``worlds``, which it takes over, or take up the checkpoint."""
        self.reference, self.obj, self.scene, self.plan, self.config = reference, obj, scene, plan, config
        self._checkpoint, self._hull = checkpoint, hull_vertices(obj.vertices)
        self._identity = {"reference": reference.digest, "object": obj.digest, "baseline": plan.origin, "seed": seed, "config": _without_limits(config)}
        self._task = TrackingTask(reference, obj, plan.rows)
        self._learner = Learner(RLEnv(self._env(worlds, seed, dump), config.phase, config.ppo.reward_scale), config, seed)
        self._evaluation = self.evaluation(MEMBERS)
        self.control_steps, self.cpu_seconds, self.stopped = 0, 0.0, "budget"
        self.curve: list[dict[str, float]] = []
        """One entry per evaluation."""
        self.zero = self._entry(self._evaluation.rollout(zero_action))
        """The baseline without residual."""
        self._best, self._since_best, self._mark = self._actor(), 0, -np.inf
        self._best_rank: tuple[float, float, float] | None = None
        if checkpoint is not None and Path(checkpoint).exists():
            self._resume(Path(checkpoint))

    def run(self, progress: Progress | None = None) -> None:
        """Train to the plateau or the end of the budget."""
        c = self.config
        per_iteration = c.worlds * c.ppo.horizon
        used = time.process_time() - self.cpu_seconds
        while True:
            if self.control_steps % (per_iteration * c.evaluate_every) == 0 or self.control_steps >= c.budget:
                self.cpu_seconds = time.process_time() - used
                if not self.curve or self.curve[-1]["control_steps"] < self.control_steps:
                    self._evaluate()
                if progress:
                    progress(min(1.0, self.control_steps / max(1, c.budget)), self.curve[-1]["t_err_m"])
                # While the bound on the error still moves, and as long after it, a policy that has not yet made up for what it broke at first is on no plateau.
                waited = (self.control_steps - c.curriculum.active * c.curriculum.steps) // (per_iteration * c.evaluate_every)
                if min(self._since_best, waited) >= c.patience:
                    self.stopped = "plateau"
                    return
                if self.control_steps >= c.budget:
                    return
            self._learner.iterate(self.control_steps)
            self.control_steps += per_iteration

    def evaluate_best(self) -> Rollout:
        """Roll the best policy out in the evaluated worlds, of which the first is the nominal one."""
        self._learner.actor.load_state_dict(self._best)
        return self._evaluation.rollout(self.policy)

    def policy(self, observation: Any) -> Tensor:
        """The mean action of the current policy."""
        actions: Tensor = self._learner.actor(observation)
        return actions

    def evaluation(self, members: tuple[Member, ...]) -> Evaluation:
        """Worlds in which to evaluate, one per member."""
        worlds = _make_worlds(self.scene, self.reference, self.obj, self.config, len(members))
        return Evaluation(self._env, worlds, self.scene, members, self.config.phase)

    def close(self) -> None:
        """Free all worlds."""
        self._evaluation.close()
        self._learner.env.env.backend.close()

    def _env(self, backend: Backend, seed: int = 0, dump: Path | None = None) -> TrackingEnv:
        task = dataclasses.replace(self.config.task, action=dataclasses.replace(self.config.task.action, baseline_lead=self.plan.lead))
        if isinstance(backend, Recorder):
            task = dataclasses.replace(task, start="first", start_offset=0.0, start_turn=0.0, termination=TerminationConfig())
        return TrackingEnv(self._task, self.scene.hand, backend, task, self.plan.starts, seed=seed, dump=dump)

    def _actor(self) -> dict[str, Tensor]:
        return {k: v.clone() for k, v in self._learner.actor.state_dict().items()}

    def _entry(self, rollout: Rollout) -> dict[str, float]:
        """One point of the curve: the return is the mean over all evaluated worlds, errors are the nominal world's."""
        m = measure(self.reference, rollout.hand[0], rollout.object_position_w[0], rollout.object_quaternion_w[0])
        judged = verdicts(self.reference, self._hull, rollout)
        values = {"return_per_step": rollout.reward.mean(), "t_err_m": m.t_err_m, "r_err_rad": m.r_err_rad}
        return {
            "control_steps": self.control_steps,
            "cpu_seconds": round(self.cpu_seconds, 1),
            **{k: round(float(v), 5) for k, v in values.items()},
            "parts": int(judged[0].lifted.ok) + int(judged[0].held.ok),
            "worlds_held": sum(v.lifts_and_holds for v in judged),
        }

    def _evaluate(self) -> None:
        """Add to the curve, keep the policy if it is the best, and save the checkpoint."""
        self._learner.ppo.eval_mode()
        entry = self._entry(self._evaluation.rollout(self.policy))
        self.curve.append(entry)
        # The reward likes a bottle that stands upright on the table better than one that is lifted askew, so the verdict's parts come first.
        rank = (entry["parts"], entry["worlds_held"], -float(np.hypot(entry["t_err_m"] / HELD_ERROR, entry["r_err_rad"])))
        better = self._best_rank is None or rank[:2] > self._best_rank[:2] or entry["return_per_step"] > self._mark + self.config.improvement
        self._since_best = 0 if better else self._since_best + 1
        if entry["return_per_step"] > self._mark + self.config.improvement:
            self._mark = entry["return_per_step"]
        if self._best_rank is None or rank > self._best_rank:
            self._best, self._best_rank = self._actor(), rank
        if self._checkpoint is not None:
            tensors = {**self._learner.state(), **{"best." + k: v for k, v in self._best.items()}}
            counts = {"control_steps": self.control_steps, "since_best": self._since_best, "best_rank": self._best_rank, "mark": self._mark}
            times = {"cpu_seconds": self.cpu_seconds, "learning_rate": self._learner.ppo.learning_rate}
            rl_checkpoint.save(self._checkpoint, tensors, {"identity": self._identity, "curve": self.curve, **counts, **times})

    def _resume(self, path: Path) -> None:
        tensors, header = rl_checkpoint.load(path)
        if header.get("identity") != self._identity:
            raise InputError(f"{path}: this checkpoint is of another task, seed or configuration.", remedy="give another file, or delete this one.")
        try:
            self._learner.restore(tensors, float(header["learning_rate"]))
            self._best = {k[len("best.") :]: v for k, v in tensors.items() if k.startswith("best.")}
            self._learner.actor.load_state_dict(self._best)
            self._learner.actor.load_state_dict({k[len("actor.") :]: v for k, v in tensors.items() if k.startswith("actor.")})
            self.control_steps, self._since_best = int(header["control_steps"]), int(header["since_best"])
            parts, worlds, error = header["best_rank"]
            self._best_rank, self._mark = (float(parts), float(worlds), float(error)), float(header["mark"])
            self.cpu_seconds, self.curve = float(header["cpu_seconds"]), list(header["curve"])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise InputError(f"{path}: this checkpoint does not fit the tracker ({error}).", remedy="delete it, and training begins anew.") from None


def _closed_loop(training: Training, nominal: Rollout) -> dict[str, Any]:
    """How the policy does when it sees what happens: its own nominal run, and the worlds that the verdict's replays are perturbed by."""
    reference, hull = training.reference, hull_vertices(training.obj.vertices)
    perturbed = training.evaluation(perturbations())
    survivals = [v.lifts_and_holds for v in verdicts(reference, hull, perturbed.rollout(training.policy))]
    perturbed.close()
    metrics = measure(reference, nominal.hand[0], nominal.object_position_w[0], nominal.object_quaternion_w[0]).as_dict()
    lifts_and_holds = verdicts(reference, hull, nominal)[0].lifts_and_holds
    return {"metrics": metrics, "lifts_and_holds": lifts_and_holds, "survived": sum(survivals), "replays": len(survivals)}


def _make_worlds(scene: Scene, reference: Reference, obj: ObjectSpec, config: RLConfig, count: int) -> Backend:
    """``count`` worlds on the configuration's backend and device."""
    own: dict[str, Any] = {"n_threads": min(config.threads, count)}
    if config.backend == "mujoco_warp":
        own = {"device": config.device, **{name: getattr(config, name) for name in ROOM}}
    return make_backend(config.backend, scene.hand, reference.base_quaternion_w, obj, physics=config.physics, n_worlds=count, **own)


def _check(reference: Reference, obj: ObjectSpec, seed: int) -> None:
    if seed < 0:
        raise InputError(f"RL tracker: seed is {seed}.", remedy="give a seed of 0 or more.")
    expected = reference.provenance.get("object")
    if expected is not None and expected != obj.digest:
        why = f"object {obj.name}: its digest differs from the one that {reference.name} was retargeted with."
        raise InputError(why, remedy="retarget the recording again.")


def _without_limits(config: RLConfig) -> dict[str, Any]:
    """The configuration without what may change when training goes on: budget, patience, threads."""
    return {k: v for k, v in comparable(config).items() if k not in ("budget", "patience", "improvement", "threads")}


@contextmanager
def _torch_to_itself(seed: int, threads: int, device: str) -> Iterator[None]:
    """Seed torch and give it ``threads`` (0: all cores) inside the block; its random state, of ``device`` too, and threads are as before afterwards."""
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[torch.device(device)] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        torch.set_num_threads(threads or os.cpu_count() or 1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
