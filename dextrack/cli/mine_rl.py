"""Train the RL tracker on one reference: ``dextrack mine REFERENCE --tracker rl``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.files import require_writable, write_json
from dextrack.mining.rl_config import RLConfig
from dextrack.objects.spec import ObjectSpec
from dextrack.references.library import find_object
from dextrack.references.reference import Reference

REFERENCE = "reference"


@dataclasses.dataclass(frozen=True)
class MineRL:
    """Train a tracker for one reference by reinforcement learning, and judge its targets. Stopped, it goes on from its checkpoint when run again."""

    reference: Annotated[Path, tyro.conf.Positional]
    """File of a reference, as `dextrack retarget` writes it."""
    tracker: Literal["rl"] = "rl"
    """This tracker; `dextrack mine --help` shows the sampling tracker's options."""
    baseline: str = REFERENCE
    """What residuals are added to: `reference`, or a store with a demonstration of it."""
    parent: str | None = None
    """Name of a demonstration of another reference in that store, to be the baseline instead."""
    out: Path = Path("demonstrations-rl.h5")
    """Store to which the demonstration is added; of its own, so that a demonstration found by sampling stays."""
    seed: int = 0
    """Seed of networks, noise and training worlds."""
    rl: RLConfig = RLConfig()
    """The tracker."""
    checkpoint: Path | None = None
    """Checkpoint that training goes on from and is saved to; by default, beside the store under the reference's name."""
    dump: Path | None = None
    """Folder for the states of training worlds that diverged, to reproduce them; it costs a copy of all states per step."""
    json: Path | None = None
    """Write metrics, verdict, cost and the learning curve to this file too."""
    force: bool = False
    """Train again from the beginning, even if the store has a demonstration from the same inputs."""


def main(args: list[str]) -> int:
    """Run ``dextrack mine --tracker rl``; see its ``--help``. Exit code 1 when the verdict does not pass."""
    from dextrack.cli.mine import show

    options = tyro.cli(MineRL, args=args, prog="dextrack mine --tracker rl")
    console = Console()
    for path in (options.out, options.json):
        if path is not None:
            require_writable(path)
    demonstration, made = run(options, console)
    show(console, demonstration)
    p = demonstration.provenance
    closed = p["closed_loop"]
    console.print(f"closed loop, the policy survives {closed['survived']} of {closed['replays']} perturbed worlds; training stopped by {p['stopped']}")
    console.print(f"[bold]{options.out}[/bold]: {store.name_of(demonstration)} ({'trained' if made else 'already there, from the same inputs'})")
    if options.json:
        cost = {k: p[k] for k in ("seconds", "cpu_seconds", "control_steps", "seed", "stopped")}
        more = {"closed_loop": closed, "zero": p["zero"], "curve": p["curve"]}
        write_json(options.json, {"reference": demonstration.reference.name, **demonstration.metrics, "verdict": demonstration.verdict, "cost": cost, **more})
    return 0 if demonstration.verdict["passed"] else 1


def run(options: MineRL, console: Console) -> tuple[Demonstration, bool]:
    """Train as ``options`` say; returns (demonstration, whether it had to be trained)."""
    reference = Reference.load(options.reference)
    obj = find_object(reference, near=options.reference)
    baseline = find_baseline(options.baseline, options.parent, reference)
    found = None if options.force else _stored(options, reference, obj, baseline)
    if found is not None:
        return found, False
    from dextrack.mining.rl_tracker import track_by_rl

    checkpoint = options.checkpoint or options.out.with_name(f"{options.out.stem}.{reference.name}.safetensors")
    require_writable(checkpoint)
    if options.force:
        checkpoint.unlink(missing_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[error]}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"train {reference.name}", total=1.0, error="")

        def tell(done: float, error: float) -> None:
            bar.update(task, completed=done, error=f"object {1e2 * error:.1f} cm off; it may stop earlier, at its plateau")

        demonstration = track_by_rl(reference, obj, baseline, options.rl, options.seed, tell, checkpoint, options.dump)
    store.save(options.out, demonstration, replace=True)
    checkpoint.unlink(missing_ok=True)
    return demonstration, True


def find_baseline(baseline: str, parent: str | None, reference: Reference) -> Demonstration | None:
    """The demonstration that ``--baseline`` and ``--parent`` name for ``reference``; None: the reference itself.

    Raises:
        InputError: the store does not hold it, it is of an older state of the reference, or a parent was named without its store.
    """
    if baseline == REFERENCE:
        if parent is not None:
            raise InputError(f"mine: parent {parent} is in no store.", remedy="give the store that holds it as --baseline.")
        return None
    found = store.load(Path(baseline), parent or f"{reference.name}@{reference.hand_name}")
    if parent is None and found.reference.digest != reference.digest:
        why = f"{baseline}: its demonstration of {reference.name} is of another retargeting of that recording."
        raise InputError(why, remedy="mine the reference again, or name the demonstration with --parent, whose states are not used.")
    return found


def _stored(options: MineRL, reference: Reference, obj: ObjectSpec, baseline: Demonstration | None) -> Demonstration | None:
    """The demonstration of the same inputs, if the store has it."""
    from dextrack.mining.rl_baseline import origin
    from dextrack.mining.rl_config import comparable

    name = f"{reference.name}@{reference.hand_name}"
    if not options.out.is_file() or name not in store.names(options.out):
        return None
    found = store.load(options.out, name)
    made_from = {"reference": reference.digest, "object": obj.digest}
    wanted = {**made_from, "baseline": origin(reference, baseline), "config": comparable(options.rl), "seed": options.seed}
    return found if wanted == {k: found.provenance.get(k) for k in wanted} else None
