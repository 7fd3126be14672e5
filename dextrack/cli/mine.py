"""Find demonstrations that track references, with their verdicts."""

from __future__ import annotations

import dataclasses
import itertools
import os
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from dextrack.cli import EXIT_INTERRUPTED
from dextrack.cli.campaign import Screen, off, summary, table
from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError, SimulationError
from dextrack.files import require_writable, write_json
from dextrack.hands import load_hand
from dextrack.hands.motors import FingerMotors, load_motors, require_same_model
from dextrack.mining import campaign, ledger, tasks
from dextrack.mining.engine import Engine
from dextrack.mining.mine import MineConfig
from dextrack.mining.prediction import predict
from dextrack.objects.spec import ObjectSpec
from dextrack.references.library import find_object
from dextrack.references.reference import Reference


@dataclasses.dataclass(frozen=True)
class Mine:
    """Mine demonstrations by sampling, and judge them: of one reference, of several, or of everything there is.

    Several are mined by worker processes, one task each at a time. What is done is kept in a ledger beside the store, so the same command, run again after
    it was stopped, goes on.
    """

    reference: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Files of references, as `dextrack retarget` writes them, folders of them, or names of installed recordings, which are retargeted where they must be."""
    all: bool = False
    """Mine every installed recording, or its mirror image where it is of the other side, and every reference in the folder of references."""
    status: bool = False
    """Show the ledger and mine nothing."""
    out: Path = Path("demonstrations.h5")
    """Store to which demonstrations are added."""
    references: Path = Path("references")
    """Folder of the references that belong to recordings; missing ones are made there."""
    hand: str = "leap_right"
    """Robot hand of those references."""
    workers: int = 0
    """Worker processes for more than one task; 0: one per core, and one alone where worlds are on a GPU, which they would share."""
    seed: int = 0
    """Seed of the first attempt."""
    settings: Annotated[MineConfig, tyro.conf.arg(name="")] = MineConfig()
    """How one task is mined. ``threads`` of 0 is 1 in each worker process of several tasks."""
    backend: Literal["mujoco", "mujoco_warp"] = "mujoco"
    """Engine that grasps and samples are rolled out on: `mujoco` on the cores, `mujoco_warp` on a GPU, where thousands of worlds cost little more
    than few: `--sampling.samples` are those of the search, `--tuning.population` those of tuning and hardening.
    Demonstrations are replayed and judged in `mujoco` either way."""
    device: str | None = None
    """Where the engine runs: `cuda:0`, or `cpu`, where `mujoco_warp` is slow; by default the first GPU, if there is one."""
    motors: Path | None = None
    """What `dextrack calibrate motors` measured of the hand: it is mined with these gains and efforts, which the demonstration keeps and the shadow
    simulator takes from it. By default with the hand's own."""
    json: Path | None = None
    """Write metrics, verdict and cost to this file too."""
    force: bool = False
    """Mine again, even if the store has a demonstration from the same inputs."""
    tracker: Literal["sampling", "rl"] = "sampling"
    """`rl` trains a policy on one reference and has options of its own: `dextrack mine --tracker rl --help`."""


def main(args: list[str]) -> int:
    """Run ``dextrack mine``; see ``--help``.

    Returns:
        Of one task: 1 when its verdict does not pass. Of several: 1 when a task failed by an error or killed its worker; 130 after Ctrl-C.
    """
    if "--tracker=rl" in args or ("--tracker", "rl") in itertools.pairwise(args):
        from dextrack.cli import mine_rl

        return mine_rl.main(args)
    options = tyro.cli(Mine, args=args, prog="dextrack mine")
    console = Console()
    if options.status:
        return _show_ledger(options, console)
    if not options.reference and not options.all:
        raise InputError("mine: it is not said what to mine.", remedy="give references or names of recordings, or --all.")
    if options.workers < 0:
        raise InputError(f"mine: workers is {options.workers}.", remedy="give a number of workers, or 0 for one per core.")
    for path in (options.out, options.json):
        if path is not None:
            require_writable(path)
    Engine(options.backend, options.device).device_here()
    if options.all or len(options.reference) > 1 or not _is_reference(options.reference[0]):
        return _run_campaign(options, console)
    demonstration, made = run(options, console)
    show(console, demonstration)
    console.print(f"[bold]{options.out}[/bold]: {store.name_of(demonstration)} ({'mined' if made else 'already there, mined from the same inputs'})")
    if options.json:
        p = demonstration.provenance
        cost = {k: p[k] for k in ("seconds", "control_steps", "seed")}
        write_json(options.json, {"reference": demonstration.reference.name, **demonstration.metrics, "verdict": demonstration.verdict, "cost": cost})
    return 0 if demonstration.verdict["passed"] else 1


def _is_reference(item: str) -> bool:
    """Whether ``item`` is to be read as one reference: a file that is no recording, or a path to none."""
    path = Path(item).expanduser()
    return not path.is_dir() and not tasks.is_recording(path) and (path.is_file() or path.suffix == ".npz")


def _run_campaign(options: Mine, console: Console) -> int:
    """Mine several tasks; see ``dextrack.mining.campaign``."""
    motors = None if options.motors is None else _motors(options.motors, options.hand)
    found = tasks.everything(options.references, options.hand) if options.all else []
    if options.reference:
        found = tasks.distinct([*found, *tasks.from_items(options.reference, options.references, options.hand)])
    engine, cores = Engine(options.backend, options.device), len(os.sched_getaffinity(0))
    count = min(options.workers or (1 if engine.device_here() != "cpu" else cores), len(found))
    config = dataclasses.replace(options.settings, threads=options.settings.threads or (cores if len(found) == 1 else 1))
    if motors is not None and (others := sorted({t.hand for t in found} - {options.hand})):
        what = f"{options.motors}: these are the motors of {options.hand}, and there are tasks of {others[0]}."
        raise InputError(what, remedy="mine the hands one by one.")
    wanted = campaign.Campaign(tuple(found), options.out, config, options.seed, count, options.force, engine, motors)
    try:
        with Screen(console, count) as screen:
            rows = campaign.run(wanted, screen)
    except KeyboardInterrupt:
        done = f"{len(campaign.known(wanted))} of {len(found)} tasks are done and kept"
        console.print(f"stopped: {done}. Run the same command again to go on; --status shows what there is.", highlight=False, soft_wrap=True)
        return EXIT_INTERRUPTED
    console.print(table(rows, str(options.out)))
    console.print(summary(rows), highlight=False, soft_wrap=True)
    if options.json:
        write_json(options.json, [dataclasses.asdict(row) for row in rows])
    if len(rows) == 1:
        return 0 if rows[0].passed else 1
    return 1 if any(row.state in (ledger.FAILED, ledger.KILLED) for row in rows) else 0


def _show_ledger(options: Mine, console: Console) -> int:
    """Print what the ledger beside the store holds."""
    path = ledger.path_of(options.out)
    rows = list(ledger.read(path).values())
    if not rows:
        raise InputError(f"{path}: there is no ledger, or it is empty.", remedy="`dextrack mine --all` begins one; --out names the store beside which it lies.")
    console.print(table(rows, str(path)))
    console.print(summary(rows), highlight=False, soft_wrap=True)
    if options.json:
        write_json(options.json, [dataclasses.asdict(row) for row in rows])
    return 0


def run(options: Mine, console: Console) -> tuple[Demonstration, bool]:
    """Mine the one reference that ``options`` name; returns (demonstration, whether it had to be mined)."""
    path = Path(options.reference[0]).expanduser()
    reference = Reference.load(path)
    obj = find_object(reference, near=path)
    engine = Engine(options.backend, options.device)
    motors = None if options.motors is None else _motors(options.motors, reference.hand_name)
    inputs = campaign.inputs(tasks.made_from(reference), options.settings, options.seed, engine, motors)
    found = None if options.force else campaign.stored(options.out, f"{reference.name}@{reference.hand_name}", inputs)
    if found is not None:
        return found, False
    console.print(f"prediction: {_foretold(reference, obj)}", highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[error]}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"mine {reference.name}", total=1.0, error="")

        def tell(attempt: int, done: float, error: float) -> None:
            name = f"mine {reference.name}" + (f", attempt {attempt}" if attempt else "")
            bar.update(task, description=name, completed=done, error=off(error))

        out = None if options.force else options.out
        demonstration = campaign.made(reference, obj, out, options.settings, options.seed, tell, engine, motors)
    store.save(options.out, demonstration, replace=True)
    p = demonstration.provenance
    console.print(f"mined {reference.name} in {p['seconds']:.0f} s and {p['control_steps'] / 1e3:.0f} thousand control steps")
    return demonstration, True


def _motors(path: Path, hand: str) -> FingerMotors:
    """What was measured of ``hand``.

    Raises:
        InputError: the file is none, or of another hand or another model of it.
    """
    spec, motors = load_hand(hand), load_motors(path)
    require_same_model(motors, spec, str(path))
    return motors.fingers(spec)


def _foretold(reference: Reference, obj: ObjectSpec) -> str:
    try:
        return predict(reference, obj).text
    except SimulationError as error:
        return f"none, for its rehearsal failed: {error.what}"


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
