"""Motor identification of a whole hand: are the parameters of all sixteen motors found, over the bus, and how long does it take?

    python tests/bench/motor_identification.py [--seed 7] [--repeats 3]

A rehearsal of `dextrack calibrate motors`: the real driver and the real Dynamixel SDK talk over a pseudo terminal, in real time, to a bus peer that
simulates the hand with motors made up from the seed; nobody but the peer is told their values. `error` is found / true - 1, `known` the relative
standard error that the fit gives for itself. `again` counts the steps that were made once more because the machine kept the program from sampling
them, `reads_hz` is the rate of the samples. Where the machine computes something else beside it, `load` says how much.

Writes tests/bench/results/motor_identification.json, .md and .png: this run takes the place of the one with as many repeats.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
from command_line import command_line
from dextrack_calibration.motors import rehearsal, session
from dextrack_calibration.motors.fit import MotorFit
from dextrack_calibration.motors.kept import Kept
from dextrack_deploy.twin.dynamixel.modelled import FINGERS_UP

from dextrack import __version__
from dextrack.files import replacing, write_json
from dextrack.hands import load_hand
from dextrack.hands.motors import MotorValues

RESULT = Path(__file__).parent / "results" / "motor_identification.json"
FIELDS = ("kp", "kv", "effort", "delay")
UNITS = {"kp": "N m/rad", "kv": "N m s/rad", "effort": "N m", "delay": "s"}
PROMISED = 0.10
NOTE = """kp and kv are wrong together or not at all: what tells their common factor is when a step leaves saturation, a few milliseconds, and only samples
whose time is known better than that. Their ratio, the effort and the delay, which make a hand's lag, do not depend on it so much. A busy machine blurs the
times, and the standard errors of the fit (bars in the picture) do not show all of it: let nothing else compute while a hand is measured."""


def row(fit: MotorFit, true: MotorValues) -> dict[str, Any]:
    """One motor."""
    ratio = fit.motor.kv / fit.motor.kp / (true.kv / true.kp)
    found = {name: float(f"{getattr(fit.motor, name):.4g}") for name in FIELDS}
    return {
        "joint": fit.joint,
        "true": {name: float(f"{getattr(true, name):.4g}") for name in FIELDS},
        "found": found,
        "error": {**{name: round(getattr(fit.motor, name) / getattr(true, name) - 1.0, 4) for name in FIELDS}, "kv/kp": round(ratio - 1.0, 4)},
        "known": {name: round(fit.error[name] / getattr(fit.motor, name), 4) for name in FIELDS},
        "friction_found": round(fit.motor.friction, 5),
        "residual_mrad": round(1e3 * fit.residual_rad, 2),
        "reads_hz": round(fit.rate_hz, 1),
        "steps": len(fit.responses),
        "again": sum(r.attempts - 1 for r in fit.responses),
    }


def written(runs: list[dict[str, Any]]) -> str:
    """The runs as a page."""
    lines = ["# Motor identification", "", f"`{runs[-1]['command']}`, {runs[-1]['date'][:10]}, {runs[-1]['machine']}; {runs[-1]['hand']}.", ""]
    for run in runs:
        rows, worst, took, load = run["rows"], run["worst"], run["seconds"], run["load"]
        again, steps = sum(r["again"] for r in rows), sum(r["steps"] for r in rows)
        lines += [
            f"## {run['repeats']} repeats of each step, load {load['before']:.1f} to {load['after']:.1f} on {load['cores']} cores",
            "",
            f"{run['within']} of {4 * len(rows)} values of {len(rows)} motors are within {PROMISED:.0%} of the truth; the worst are "
            + ", ".join(f"{n} {worst[n]['error']:+.1%} (joint {worst[n]['joint']})" for n in worst)
            + (f"; refused: {', '.join(run['refused'])}." if run["refused"] else "; none was refused."),
            f"The steps took {took['steps'] / 60:.1f} min, the fits {took['fits'] / 60:.1f} min; {again} of {steps} steps were made again.",
            "",
        ]
        head = ["joint", *(f"{name}, {UNITS[name]}: true, found, error" for name in FIELDS), "kv / kp, error", "steps made again", "reads/s"]
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for r in rows:
            cells = [f"{r['true'][n]:.3g}, {r['found'][n]:.3g}, {r['error'][n]:+.1%}" for n in FIELDS]
            lines.append("| " + " | ".join([r["joint"], *cells, f"{r['error']['kv/kp']:+.1%}", f"{r['again']} of {r['steps']}", f"{r['reads_hz']:.0f}"]) + " |")
        lines.append("")
    return "\n".join([*lines, NOTE, "", "![errors](motor_identification.png)", ""])


def draw(path: Path, runs: list[dict[str, Any]]) -> None:
    """The errors of every motor, run by run."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(4, 1, figsize=(8.0, 6.4), sharex=True, layout="constrained")
    for cell, name in zip(axes, FIELDS, strict=True):
        cell.axhspan(-100 * PROMISED, 100 * PROMISED, color="#e8eef3", zorder=0)
        cell.axhline(0.0, color="#59616b", linewidth=0.8)
        for n, (run, color) in enumerate(zip(runs, ("#c24e00", "#0072b2", "#59616b"), strict=False)):
            errors, known = ([100 * r[key][name] for r in run["rows"]] for key in ("error", "known"))
            at = [int(r["joint"]) + 0.2 * n for r in run["rows"]]
            label = f"{run['repeats']} repeats, load {run['load']['before']:.0f} to {run['load']['after']:.0f}"
            cell.errorbar(at, errors, yerr=known, fmt="o", color=color, markersize=4, capsize=2, label=label)
        cell.set_ylabel(f"{name}\nerror, %")
        cell.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    axes[-1].set_xticks(range(16))
    axes[-1].set_xlabel("joint; bars: the standard error that the fit gives for itself; band: what is promised")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    pyplot.close(figure)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    hand = load_hand("leap_right")
    truth = rehearsal.made_up(hand, arguments.seed)
    before, began = os.getloadavg()[0], time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {line}", flush=True)

    with tempfile.TemporaryDirectory() as folder, rehearsal.simulated(truth) as peer:
        kept = Kept(Path(folder), hand, rehearsal.digest(truth))
        measurement = session.measure(hand, peer.pty, hand.finger_joints, arguments.repeats, tell, kept)
    stepped = time.monotonic()
    found = session.fit(hand, measurement, FINGERS_UP, tell)
    ended = time.monotonic()
    rows = [row(fit, truth.joints[fit.joint]) for fit in found.fits]
    errors = {name: max(rows, key=lambda r: abs(r["error"][name])) for name in (*FIELDS, "kv/kp")}
    result = {
        "command": command_line(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "version": __version__,
        "dynamixel_sdk": version("dynamixel-sdk"),
        "hand": hand.name,
        "seed": arguments.seed,
        "repeats": arguments.repeats,
        "load": {"before": round(before, 2), "after": round(os.getloadavg()[0], 2), "cores": os.cpu_count()},
        "seconds": {"steps": round(stepped - began, 1), "fits": round(ended - stepped, 1)},
        "within": sum(abs(r["error"][n]) <= PROMISED for r in rows for n in FIELDS),
        "worst": {name: {"joint": r["joint"], "error": r["error"][name]} for name, r in errors.items()},
        "refused": {joint: error.what for joint, error in found.refused.items()},
        "rows": rows,
    }
    before_this = json.loads(RESULT.read_text(encoding="utf-8"))["runs"] if RESULT.is_file() else []
    runs = sorted([r for r in before_this if r["repeats"] != arguments.repeats] + [result], key=lambda r: r["repeats"])
    write_json(RESULT, {"runs": runs})
    page = written(runs)
    RESULT.with_suffix(".md").write_text(page, encoding="utf-8")
    draw(RESULT.with_suffix(".png"), runs)
    print(page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
