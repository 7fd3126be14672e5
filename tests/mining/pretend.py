"""A campaign whose mining is pretended: a task takes a fraction of a second, and its demonstration does what the reference says.

As a program, ``python pretend.py STORE FOLDER SECONDS`` runs one over the references in a folder, for tests that kill it.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import SimulationError
from dextrack.hands.motors import FingerMotors
from dextrack.mining import campaign, tasks, workers
from dextrack.mining.again import AgainConfig
from dextrack.mining.engine import Engine
from dextrack.mining.ledger import Row
from dextrack.mining.polishing import PolishingConfig
from dextrack.references.reference import Reference
from tests import synthetic

BOX_LIFT = Path(__file__).parent / "box_lift.npz"


@dataclasses.dataclass(frozen=True)
class Config:
    """Stands for ``MineConfig``."""

    seconds: float = 0.0
    """Of one task, on average."""
    threads: int = 1
    polishing: PolishingConfig = PolishingConfig()
    again: AgainConfig = AgainConfig()


class Quiet:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.rows: list[Row] = []
        self.events: list[workers.Event] = []

    def begin(self, phase: str, tasks: Sequence[tasks.Task], rows: Sequence[Row]) -> None:
        self.phases.append(f"{phase} {len(tasks)} after {len(rows)}")

    def hear(self, event: workers.Event) -> None:
        self.events.append(event)

    def row(self, row: Row) -> None:
        self.rows.append(row)
        print(row.task, flush=True)


def mine(
    path: Path, digest: str, out: Path, force: bool, config: Any, seed: int, engine: Engine, motors: FingerMotors | None, tell: workers.Tell
) -> Demonstration:
    """In place of ``campaign._mine_job``; what a task does besides follows from its name."""
    reference = Reference.load(path)
    name = reference.name
    tell(0, 0.5, 0.01)
    time.sleep(config.seconds * (0.5 + int(digest[:4], 16) / 0xFFFF))
    if "raises" in name:
        raise ZeroDivisionError("division by zero")
    if "diverges" in name:
        raise SimulationError("the state is not finite.", remedy="none.")
    if "dies" in name or ("stumbles" in name and not path.with_suffix(".died").exists()):
        path.with_suffix(".died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    n = len(reference.hand)
    metrics = {"t_err_m": 0.01, "r_err_rad": 0.1, "success_20": True}
    verdict = {"passed": True} | {part: {"state": "passed", "why": ""} for part in ("lifted", "held", "clean", "robust")}
    still = np.zeros((n, 22))
    made = Demonstration(
        reference, reference.hand[1:], reference.hand, still, reference.object_position_w, reference.object_quaternion_w,
        metrics, verdict, {"control_steps": n, "seconds": config.seconds, "threads": os.environ["OMP_NUM_THREADS"]},
    )  # fmt: skip
    return campaign.marked(made, campaign.inputs(digest, config, seed, engine, motors))


def references(folder: Path, names: Sequence[str], steps: int = 30) -> Path:
    """References of the given names in ``folder``/references, all different and about ``steps`` long, their object beside them; returns their folder."""
    (folder / "objects").mkdir()
    synthetic.box().save(folder / "objects" / "box.npz")
    whole = Reference.load(BOX_LIFT)
    first = int(whole.diagnosis["onset"]) - 10
    for k, name in enumerate(names):
        cut = slice(first, first + steps + 1 + k % 5)
        arrays = {f: getattr(whole, f)[cut] for f in ("hand", "object_position_w", "object_quaternion_w", "keypoints_w")}
        arrays["keypoints_w"] = arrays["keypoints_w"] + 1e-6 * k
        diagnosis = {**whole.diagnosis, "onset": 10, "release": steps}
        dataclasses.replace(whole, name=name, **arrays, diagnosis=diagnosis).save(folder / "references" / f"{name}.npz")
    return folder / "references"


def wanted(store: Path, folder: Path, seconds: float = 0.0, count: int = 2, **more: Any) -> campaign.Campaign:
    """A campaign over all references in ``folder``."""
    found = tasks.from_items([str(folder)], folder, "leap_right")
    return campaign.Campaign(tuple(found), store, Config(seconds), workers=count, **more)  # type: ignore[arg-type]


if __name__ == "__main__":
    from tests.mining import pretend  # workers know this module by this name

    campaign._mine_job = pretend.mine  # type: ignore[assignment]
    campaign.run(pretend.wanted(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])), Quiet())
