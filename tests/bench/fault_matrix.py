"""The fault matrix: {encoders, bus, link, camera, shadow simulator, controller, supervisor, operator, clock, disk} x {lost, late, frozen, jumping, out of
range, killed}, against the real processes of a trial in the twin.

    python tests/bench/fault_matrix.py [--cells camera_pose:lost disk ...] [--demonstration FILE.h5 [--object FILE.npz]] [--out FOLDER]

Each cell is a trial of its own: the nodes as `dextrack track` starts them, the fault 1 s after RUN began (in the rows "in APPROACH", 0.4 s after that did
and the arm moves), 4 s with it and one after it, and then the end of every process. In those of the motor bus and the arm link, that device is behind its
own wire (fault_wire.py). What was commanded is taken from the twin's command trace, on the device side. When a cell counts as safe is written at the top of
fault_rules.py, which faults there are in fault_cells.py. A row is written as soon as it is measured, with its command: a run that was stopped goes on
where it was, and --again measures anew. Writes fault_matrix.json, fault_matrix.md and fault_matrix.png.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# The checkout's package and the handmade trial; in every process that is started, see main.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "ros2_ws" / "src" / "dextrack"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ros"))

import fault_cells
import fault_figure
import fault_rules
import fault_trial
import fault_wire
import handmade
from command_line import command_line
from dextrack_deploy.status import State
from dextrack_deploy.trial import TrialFolder
from dextrack_ros import dds
from dextrack_ros.interruption import Interruption
from dextrack_ros.preparation import PreparedTrial, TrialRequest, prepare

from dextrack.errors import DexTrackError
from dextrack.files import write_json

RESULTS = Path(__file__).parent / "results"
RUN_S = 7.0
"""Length of the handmade run: it must outlast the fault."""
BELOW_M = {State.RUN: 0.05, State.APPROACH: 0.25}
"""How far below the arm's home it begins: an approach must outlast the fault's beginning."""
ATTEMPTS = 3
"""A machine that stalls ends a run before its fault; that says nothing of the fault."""


def chosen(names: list[str]) -> list[fault_cells.Cell]:
    """The cells whose name begins with one of ``names`` (spaces may be written as underscores); all without names."""
    wanted = [n.replace("_", " ") for n in names] or [""]
    return [c for c in fault_cells.CELLS if any(c.name == w or c.name.startswith(f"{w}:") or not w for w in wanted)]


def prepared(options: argparse.Namespace, folder: Path, wired: str, state: State) -> PreparedTrial:
    """The trial that every cell with the device ``wired`` behind its wire and a fault in ``state`` runs a copy of; placing it takes longer than a cell."""
    folder.mkdir(parents=True)
    cell = str(fault_wire.write_cell(wired, folder)) if wired else "twin"
    source, thing = (options.demonstration, options.object) if options.demonstration else handmade.write_trial(folder / "given", RUN_S, BELOW_M[state])
    trial = TrialFolder(folder / "template")
    trial.path.mkdir()
    ready = prepare(TrialRequest(Path(source), name=options.name, object=str(thing or ""), cell=cell), trial)
    needed = fault_trial.AFTER_S[State.RUN] + fault_trial.WATCH_S + 0.5
    if ready.seconds < needed:
        raise SystemExit(f"the run takes {ready.seconds:.1f} s, and a cell needs {needed:.1f} s; give a longer demonstration")
    return ready


def measure(cell: fault_cells.Cell, template: PreparedTrial, folder: Path, known: dict[str, fault_rules.Device]) -> dict[str, Any]:
    """The row of one cell.

    Raises:
        CellFailed, DexTrackError, OSError, CalledProcessError: it could not be observed.
    """
    injection = cell.injection
    seen = fault_trial.observe(template, folder, injection.begin, injection.topics, injection.on_small_disk, cell.state)
    row = {"source": cell.source, "fault": cell.fault, "variant": cell.variant, "injected_by": injection.by, "injected_in": cell.state.value}
    made = {"command": command_line(), "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}
    return row | fault_rules.judge(seen, known, cell.may_go_on, cell.limp) | made


def attempt(cell: fault_cells.Cell, template: PreparedTrial, folder: Path, known: dict[str, fault_rules.Device]) -> tuple[dict[str, Any] | None, str]:
    """(row, why there is none)."""
    why = ""
    for n in range(ATTEMPTS):
        try:
            return measure(cell, template, folder / str(n), known), ""
        except (fault_trial.CellFailed, DexTrackError, OSError, subprocess.CalledProcessError) as error:
            why = " ".join(str(error).split())[:400]
            print(f"    attempt {n + 1}: {why}", flush=True)
    return None, why


def load(path: Path) -> dict[str, Any]:
    """Rows and failures so far."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"rows": [], "failed": {}}
    # Rows of an earlier version had one command for all of them, and no state but RUN.
    return {**found, "rows": [{"command": found.get("command", ""), "injected_in": State.RUN.value, **row} for row in found["rows"]]}


def save(out: Path, rows: dict[str, dict[str, Any]], failed: dict[str, str]) -> None:
    """Write the table, the page and the figure."""
    order = [c.name for c in fault_cells.CELLS]
    made = [rows[name] for name in order if name in rows]
    result = {
        # A row that was measured again has a newer one than the others.
        "command": "; ".join(sorted({row["command"] for row in made})),
        "date": max((row["date"] for row in made), default="")[:10],
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}",
        "rules": (fault_rules.__doc__ or "").strip(),
        "safe": sum(row["safe"] for row in rows.values()),
        "rows": made,
        "not_injected_here": [{"source": s, "fault": f, "reason": why} for s, f, why in fault_cells.NOT_INJECTED],
        "failed": failed,
    }
    write_json(out / "fault_matrix.json", result)
    fault_figure.write_table(out / "fault_matrix.md", result)
    fault_figure.draw(out / "fault_matrix.png", result["rows"])


def run(options: argparse.Namespace, folder: Path) -> int:
    """Measure what is missing; the number of cells that are not safe or could not be measured."""
    before = load(options.out / "fault_matrix.json")
    rows = {":".join(filter(None, (r["source"], r["fault"], r["variant"]))): r for r in before["rows"]}
    failed = dict(before["failed"])
    asked = chosen(options.cells)
    todo = [c for c in asked if options.again or c.name not in rows]
    print(f"{len(todo)} cells to measure, {len(asked) - len(todo)} are there already", flush=True)
    templates: dict[tuple[str, State], PreparedTrial] = {}
    began = time.monotonic()
    for n, cell in enumerate(todo):
        which = cell.wired, cell.state
        if which not in templates:
            templates[which] = prepared(options, folder / f"prepared_{cell.wired or 'twin'}_{cell.state.value}", *which)
        template = templates[which]
        known = fault_rules.devices("twin", str(next(template.folder.path.glob("placed.*"))), cell.state)
        row, why = attempt(cell, template, folder / f"cell{n}", known)
        failed.pop(cell.name, None)
        if row is None:
            failed[cell.name] = why
        else:
            rows[cell.name] = row
        save(options.out, rows, failed)
        left = (time.monotonic() - began) / (n + 1) * (len(todo) - n - 1)
        print(f"{n + 1}/{len(todo)}  {cell.name}  {_summary(row) if row else 'not measured'}  about {left / 60:.0f} min left", flush=True)
    return sum(c.name in failed or not rows[c.name]["safe"] for c in asked)


def _summary(row: dict[str, Any]) -> str:
    safe = "safe" if row["safe"] else "NOT SAFE: " + "; ".join(row["problems"])
    still = "goes on" if row["seconds_to_safe"] is None else f"stands after {row['seconds_to_safe']:.2f} s"
    return f"{safe}\n    {row['reaction'][:150]}\n    {still}, largest step {row['largest_step_after_rad']:.4f} rad"


def main() -> int:
    """Run the matrix; 0 where every cell asked for is safe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", default=[], metavar="SOURCE[:FAULT[:VARIANT]]", help="only these; spaces may be underscores")
    parser.add_argument("--demonstration", type=Path, help="store to replay from, instead of the handmade one")
    parser.add_argument("--name", default="", help="which demonstration of the store")
    parser.add_argument("--object", help="its object file")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--keep", type=Path, help="keep the trials in this folder")
    parser.add_argument("--again", action="store_true", help="measure cells anew that are there already")
    options = parser.parse_args()
    dds.keep_on_loopback()
    os.environ["PYTHONPATH"] = os.pathsep.join([*sys.path[:2], str(Path(__file__).resolve().parent), os.environ.get("PYTHONPATH", "")])
    options.out.mkdir(parents=True, exist_ok=True)
    # SIGTERM ends it as Ctrl-C does: with every process and the small disk.
    with Interruption(), tempfile.TemporaryDirectory(prefix="fault-matrix-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        return 1 if run(options, folder) else 0


if __name__ == "__main__":
    sys.exit(main())
