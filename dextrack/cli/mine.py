"""Find a demonstration that tracks a reference, with its verdict."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.files import require_writable, write_json
from dextrack.mining.sampling import SamplingConfig
from dextrack.references.library import find_object
from dextrack.references.reference import Reference


@dataclasses.dataclass(frozen=True)
class Mine:
    """Mine a demonstration by sampling, and judge it."""

    reference: Annotated[Path, tyro.conf.Positional]
    """File of a reference, as `dextrack retarget` writes it."""
    out: Path = Path("demonstrations.h5")
    """Store to which the demonstration is added."""
    seed: int = 0
    """Seed of the first attempt."""
    spreads: tuple[float, ...] = (0.7, 1.0)
    """One attempt each until the verdict passes; the errors of the object's first pose that mining allows for, relative to the default."""
    threads: int = 0
    """Threads of the simulation; 0: all cores."""
    sampling: SamplingConfig = SamplingConfig()
    """The sampling tracker."""
    json: Path | None = None
    """Write metrics, verdict and cost to this file too."""
    force: bool = False
    """Mine again, even if the store has a demonstration from the same inputs."""


def main(args: list[str]) -> int:
    """Run ``dextrack mine``; see ``--help``. Exit code 1 when the verdict does not pass."""
    options = tyro.cli(Mine, args=args, prog="dextrack mine")
    console = Console()
    for path in (options.out, options.json):
        if path is not None:
            require_writable(path)
    demonstration, made = run(options, console)
    show(console, demonstration)
    console.print(f"[bold]{options.out}[/bold]: {store.name_of(demonstration)} ({'mined' if made else 'already there, mined from the same inputs'})")
    if options.json:
        p = demonstration.provenance
        cost = {k: p[k] for k in ("seconds", "control_steps", "seed")}
        write_json(options.json, {"reference": demonstration.reference.name, **demonstration.metrics, "verdict": demonstration.verdict, "cost": cost})
    return 0 if demonstration.verdict["passed"] else 1


def run(options: Mine, console: Console) -> tuple[Demonstration, bool]:
    """Mine as ``options`` say; returns (demonstration, whether it had to be mined)."""
    from dextrack.mining.mine import MineConfig, mine

    reference = Reference.load(options.reference)
    obj = find_object(reference, near=options.reference)
    config = MineConfig(sampling=options.sampling, spreads=options.spreads, threads=options.threads)
    found = None if options.force else _stored(options.out, reference, config, options.seed)
    if found is not None:
        return found, False
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[error]}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"mine {reference.name}", total=1.0, error="")

        def tell(attempt: int, done: float, error: float) -> None:
            name = f"mine {reference.name}" + (f", attempt {attempt + 1}" if attempt else "")
            bar.update(task, description=name, completed=done, error=f"object {1e2 * error:.1f} cm off in the worst world")

        demonstration = mine(reference, obj, config, options.seed, tell)
    store.save(options.out, demonstration, replace=True)
    p = demonstration.provenance
    console.print(f"mined {reference.name} in {p['seconds']:.0f} s and {p['control_steps'] / 1e3:.0f} thousand control steps")
    return demonstration, True


def _stored(path: Path, reference: Reference, config: Any, seed: int) -> Demonstration | None:
    """The demonstration of the same reference, configuration and seeds, if the store has it."""
    if not path.is_file():
        return None
    import json

    wanted = json.dumps(dataclasses.asdict(dataclasses.replace(config, threads=0)), sort_keys=True)
    for name in store.names(path):
        if not name.startswith(reference.name):
            continue
        try:
            found = store.load(path, name)
        except InputError:
            continue
        p = found.provenance
        same = p.get("reference") == reference.digest and json.dumps(p.get("config"), sort_keys=True) == wanted
        if same and seed <= int(p.get("seed", -1)) < seed + len(config.spreads):
            return found
    return None


def show(console: Console, demonstration: Demonstration) -> None:
    """Print metrics and verdict."""
    m, v = demonstration.metrics, demonstration.verdict
    table = Table(title=f"{demonstration.reference.name}: verdict {'passed' if v['passed'] else 'not passed'}", show_header=False)
    table.add_row("object error", f"{1e2 * m['t_err_m']:.1f} cm, {57.29578 * m['r_err_rad']:.1f} deg")
    table.add_row("hand error", f"wrist {m['e_wrist']:.3f}, fingers {m['e_finger_rad']:.3f} rad")
    table.add_row("paper's success", f"10 cm / 20 deg: {'yes' if m['success_20'] else 'no'}, 10 cm / 40 deg: {'yes' if m['success_40'] else 'no'}")
    for part in ("lifted", "held", "clean", "robust"):
        table.add_row(part, f"{v[part]['state']}: {v[part]['why']}")
    console.print(table)
