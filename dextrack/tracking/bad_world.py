"""What a world was in when it broke, kept for reproduction: one ``.npz`` per world, at most ``LIMIT`` of one environment.

A file puts a world of a new backend where the broken one was, and its one step is the step that failed::

    header, a = read_arrays(path)
    velocity = np.concatenate([a["object_linear_velocity_w"], a["object_angular_velocity_w"]])
    backend.reset(a["hand"][None], a["object_position_w"][None], a["object_quaternion_w"][None], hand_velocity=a["hand_velocity"][None],
                  object_velocity_w=velocity[None])
    backend.step(a["target"][None])

What an engine carries from step to step besides (a warm start of its solver, friction and mass from ``vary``) is not in it.
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

from torch import Tensor

from dextrack import __version__
from dextrack.files import require_writable, write_arrays
from dextrack.hands import HandSpec
from dextrack.sim.tensors import WorldTensors
from dextrack.tracking.config import TrackingConfig
from dextrack.tracking.task import TrackingTask

LIMIT = 20
"""Files of one environment: what breaks once breaks often, and a training run goes on."""


class BadWorldFiles:
    """Writes ``bad_world_0.npz``, ``bad_world_1.npz``, ... into a folder; files that are there are kept.

    The header names reference, object and hand (the first two by digest, too), joint names, period, seed, configuration, version, world and frame n. Arrays,
    in the precision that they had: the fields of ``WorldTensors`` of s_n; ``action``, the policy's, (22,); ``baseline``, the row that it was added to, (22,);
    ``target``, what the engine got, (22,).
    """

    def __init__(self, folder: Path, task: TrackingTask, hand: HandSpec, config: TrackingConfig, seed: int) -> None:
        """Write into ``folder``, which is made if need be.

        Raises:
            InputError: it cannot be written.
        """
        self._paths = (Path(folder) / f"bad_world_{n}.npz" for n in itertools.count())
        self._left = LIMIT
        self._before: dict[str, Tensor] = {}
        self._header = {
            "reference": task.reference.name,
            "reference_digest": task.reference.digest,
            "object": task.object.name,
            "object_digest": task.object.digest,
            "hand": hand.name,
            "joint_names": list(hand.joint_names),
            "period": task.reference.period,
            "seed": seed,
            "config": config.as_dict(),
            "version": __version__,
        }
        require_writable(Path(folder) / "bad_world_0.npz")

    def remember(self, state: WorldTensors, frame: Tensor, action: Tensor, baseline: Tensor, target: Tensor) -> None:
        """Copy what all worlds are in before a step: ``state``, frame n (W,), and the three rows (W, 22) that the step was made of."""
        if self._left:
            named = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
            named |= {"frame": frame, "action": action, "baseline": baseline, "target": target}
            self._before = {name: value.clone() for name, value in named.items()}

    def write(self, worlds: Tensor) -> None:
        """Write what ``worlds`` (n,) were in when ``remember`` was called last.

        Raises:
            InputError: the disk is full, or the folder can be written no more.
        """
        for world in worlds.tolist()[: self._left]:
            arrays = {name: value[world].cpu().numpy() for name, value in self._before.items()}
            header = {**self._header, "world": world, "frame": int(arrays.pop("frame"))}
            write_arrays(next(path for path in self._paths if not path.exists()), header, arrays)
            self._left -= 1
