"""How far a demonstration that was mined in one physics engine holds in another: open-loop replay of its targets on each backend.

    python tests/bench/cross_backend.py --store mined/demonstrations.h5 [BACKEND ...] [--count 10] [--folder FOLDER]

The first demonstrations of the store whose whole verdict passed are replayed in one world, from the state that mining began with. `as mined` are the states in
the store. Error growth is how far two backends have the object apart at a quarter, half, three quarters and the end; verdicts agree where both lift and hold,
or both do not. Turns of a symmetric object count as they are. A backend is named as ``[LABEL=]NAME[:OPTION=VALUE,...]``; none named: all that are registered.
Those that are registered and not named are in the tables too, with why they did not run: what keeps them from running here, or that nobody asked.

Writes cross_backend.json and .md to FOLDER (default: tests/bench/results).
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import itertools
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from backends import Named, every, machine
from command_line import command_line

from dextrack import __version__, rotations
from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import DexTrackError, InputError
from dextrack.files import digest, replacing, write_json
from dextrack.hands import load_hand
from dextrack.objects.spec import ObjectSpec
from dextrack.references.library import find_object
from dextrack.sim import make_backend
from dextrack.sim.physics import Physics
from dextrack.tracking.metrics import measure
from dextrack.tracking.verdict import hull_vertices, judge

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Where along a demonstration errors are read."""
MINED = "as mined"


@dataclasses.dataclass(frozen=True)
class Track:
    """What targets led to on one backend; frames after a world went bad are NaN."""

    hand: np.ndarray
    """(N + 1, 22)."""
    position_w: np.ndarray
    """(N + 1, 3), m."""
    quaternion_w: np.ndarray
    """(N + 1, 4), wxyz."""


def replayed(demonstration: Demonstration, obj: ObjectSpec, backend: Named) -> Track:
    """Replay a demonstration's targets on ``backend``, with the physics it was mined with."""
    physics = Physics(**demonstration.provenance.get("config", {}).get("physics", {}))
    reference = demonstration.reference
    made = make_backend(backend.name, demonstration.hand_spec, reference.base_quaternion_w, obj, physics=physics, n_worlds=1, **backend.options)
    try:
        first = (demonstration.hand[:1], demonstration.object_position_w[:1], demonstration.object_quaternion_w[:1])
        made.reset(*first, hand_velocity=demonstration.hand_velocity[:1])
        rows = [tuple(a[0] for a in first)]
        for target in demonstration.targets:
            made.step(target[None])
            state, bad = made.state(), len(made.bad_worlds()) > 0
            row = (state.hand[0], state.object_position_w[0], state.object_quaternion_w[0])
            rows.append(tuple(np.full_like(a, np.nan) if bad else np.array(a) for a in row))
    finally:
        made.close()
    return Track(*(np.array(column) for column in zip(*rows, strict=True)))


def judged(demonstration: Demonstration, obj: ObjectSpec, track: Track) -> dict[str, Any]:
    """Metrics, and the parts of the verdict that a trajectory has by itself; a diverged one has neither, and does not lift and hold."""
    try:
        metrics = measure(demonstration.reference, track.hand, track.position_w, track.quaternion_w).as_dict()
        verdict = judge(demonstration.reference, hull_vertices(obj.vertices), track.position_w, track.quaternion_w)
    except InputError:
        return {"diverged": True, "lifts_and_holds": False}
    parts = {part: {"state": getattr(verdict, part).state, "why": getattr(verdict, part).why} for part in ("lifted", "held")}
    return {"diverged": False, "lifts_and_holds": verdict.lifts_and_holds, **parts, "metrics": metrics}


def growth(a: Track, b: Track) -> dict[str, list[float | None]]:
    """How far apart two tracks have the object at ``SHARES`` of the way: m and rad; None where one of them diverged."""
    frames = [round(share * (len(a.position_w) - 1)) for share in SHARES]
    apart = np.linalg.norm(a.position_w - b.position_w, axis=1)[frames]
    turned = rotations.angle(a.quaternion_w[frames], b.quaternion_w[frames])
    return {"position_m": [_number(x) for x in apart], "rotation_rad": [_number(x) for x in turned]}


def _number(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def chosen(path: Path, count: int) -> list[Demonstration]:
    """The first ``count`` demonstrations of the store, by name, whose whole verdict passed."""
    loaded = (store.load(path, name) for name in store.names(path))
    return list(itertools.islice((d for d in loaded if d.verdict["passed"]), count))


def unasked(named: list[Named]) -> dict[str, str]:
    """Why each registered backend that is not ``named`` does not run, by name: an attempt to make a hand of it tells."""
    given = {word for backend in named for word in (backend.label, backend.name)}
    reasons = {}
    for backend in every():
        if backend.name in given:
            continue
        try:
            make_backend(backend.name, load_hand("leap_right"), np.array([1.0, 0.0, 0.0, 0.0]), None, n_worlds=1, table=False).close()
            reasons[backend.name] = "it was not named."
        except (DexTrackError, ImportError) as error:
            reasons[backend.name] = str(error)
    return reasons


def compare(demonstrations: list[Demonstration], backends: list[Named], near: Path) -> list[dict[str, Any]]:
    """One row per demonstration, with every backend that ran, every pair of them, and why the others did not."""
    others = unasked(backends)
    rows = []
    for demonstration in demonstrations:
        obj = find_object(demonstration.reference, near=near)
        tracks = {MINED: Track(demonstration.hand, demonstration.object_position_w, demonstration.object_quaternion_w)}
        missing = dict(others)
        for backend in backends:
            try:
                tracks[backend.label] = replayed(demonstration, obj, backend)
            except (DexTrackError, ImportError) as error:
                missing[backend.label] = str(error)
        row: dict[str, Any] = {"demonstration": store.name_of(demonstration), "steps": len(demonstration.targets), "not_run": missing}
        row["backends"] = {label: judged(demonstration, obj, track) for label, track in tracks.items()}
        row["pairs"] = [{"pair": [a, b], **growth(tracks[a], tracks[b])} for a, b in itertools.combinations(tracks, 2)]
        rows.append(row)
        print(row["demonstration"], {label: j["lifts_and_holds"] for label, j in row["backends"].items()}, flush=True)
    return rows


def pairs(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each pair of backends: medians of the error growth where neither had diverged, and how many finished and agree."""
    names = sorted({tuple(p["pair"]) for row in rows for p in row["pairs"]})
    out = []
    for a, b in names:
        found = [(row, p) for row in rows for p in row["pairs"] if p["pair"] == [a, b]]
        agree = [row["backends"][a]["lifts_and_holds"] == row["backends"][b]["lifts_and_holds"] for row, _ in found]
        medians = {}
        for field in ("position_m", "rotation_rad"):
            columns = zip(*(p[field] for _, p in found), strict=True)
            kept = [[x for x in column if x is not None] for column in columns]
            medians["median_" + field] = [float(np.median(column)) if column else None for column in kept]
        finished = sum(p["position_m"][-1] is not None for _, p in found)
        out.append({"pair": [a, b], "n": len(found), "finished": finished, "agree": sum(agree), **medians})
    return out


def page(summary: list[dict[str, Any]], rows: list[dict[str, Any]]) -> str:
    """The tables, as Markdown."""
    head = "| backends | " + " | ".join(f"apart at {100 * s:.0f} %" for s in SHARES) + " | finished on both | verdicts agree |"
    lines = [
        "# Demonstrations across physics backends",
        "",
        f"Open-loop replay; medians over {len(rows)} demonstrations.",
        "",
        head,
        "|---" * (len(SHARES) + 3) + "|",
    ]
    for pair in summary:
        cells = zip(pair["median_position_m"], pair["median_rotation_rad"], strict=True)
        texts = ["diverged" if m is None else f"{1e3 * m:.1f} mm, {np.degrees(r):.1f} deg" for m, r in cells]
        lines.append(f"| {pair['pair'][0]}, {pair['pair'][1]} | {' | '.join(texts)} | {pair['finished']} of {pair['n']} | {pair['agree']} of {pair['n']} |")
    labels = sorted({label for row in rows for label in row["backends"]})
    lines += ["", f"| demonstration | {' | '.join(labels)} |", "|---" * (len(labels) + 1) + "|"]
    words = {True: "lifts and holds", False: "does not"}
    for row in rows:
        cells = [words[row["backends"][label]["lifts_and_holds"]] if label in row["backends"] else "not run" for label in labels]
        lines.append(f"| {row['demonstration']} | {' | '.join(cells)} |")
    for label in sorted({label for row in rows for label in row["not_run"]}):
        why = [row["not_run"][label] for row in rows if label in row["not_run"]]
        lines += ["", f"`{label}` did not run {len(why)} of {len(rows)} demonstrations: {why[0]}"]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backends", nargs="*", type=Named.parse, metavar="BACKEND")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    demonstrations = chosen(arguments.store, arguments.count)
    if not demonstrations:
        parser.error(f"{arguments.store} has no demonstration whose whole verdict passed; mine some with `dextrack mine --all`")
    rows = compare(demonstrations, arguments.backends or every(), arguments.store)
    summary = pairs(rows)
    write_json(
        arguments.folder / "cross_backend.json",
        {
            "command": command_line(),
            "machine": machine(),
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "version": __version__,
            "store": digest(arguments.store),
            "shares": list(SHARES),
            "pairs": summary,
            "rows": rows,
        },
    )
    text = page(summary, rows)
    with replacing(arguments.folder / "cross_backend.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
