"""The page of a trial's report: verdict first, then pictures, curves, timing, events and provenance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dextrack.errors import DexTrackError
from dextrack.evaluation import figures, html, motion
from dextrack.evaluation.figures import REFERENCE, TRIAL, Curve, Level, Panel
from dextrack.evaluation.film_strip import film_strip, key_frames
from dextrack.evaluation.html import BAD, GOOD, NEUTRAL, Card
from dextrack.hands.spec import WRIST_JOINTS
from dextrack.objects import ObjectSpec
from dextrack.references.reference import CONTROL_PERIOD
from dextrack.tracking import metrics as tracking_metrics
from dextrack.tracking.verdict import FAILED, HELD_ERROR, OBJECT_LIFT, PASSED, REFERENCE_LIFT
from dextrack_deploy.trial_reading import Trial
from dextrack_deploy.trial_result import TrialResult

Flags = NDArray[np.bool_]
Marks = list[tuple[float, str]]
_SHADED = "Shaded: the reference holds the object at least 3 cm up, which is where the verdict looks."
_WORDS = {"finished": "Failed", "held": "Stopped", "fault": "Fault", "refused": "Refused", "interrupted": "Interrupted"}
"""What the banner says of a trial that did not pass."""


def make(trial: Trial, report: dict[str, Any]) -> tuple[str, list[str]]:
    """The page of ``trial`` with the numbers of ``report`` (``report.json``).

    Returns:
        (the page, what could not be drawn and why).
    """
    remarks: list[str] = []
    verdict, reference = report["verdict"], trial.reference
    dry = report["dry_run"] and trial.outcome.complete
    word, mood = ("✔ Passed", GOOD) if verdict["passed"] else ("Dry run", NEUTRAL) if dry else (f"✘ {_WORDS[trial.outcome.ended]}", BAD)
    lead = f"{reference.object_name}, {reference.hand_name}, cell {report['cell']}, {report['date'] or 'no date'}" if reference else "no reference"
    blocks = [html.banner(word, verdict["summary"], mood), html.cards(_cards(trial, report))]
    blocks += _pictures(trial, remarks)
    if trial.result is not None and trial.object is not None:
        blocks += _curves(trial.result, trial.object)
    blocks += _timing(trial, report)
    blocks += [html.heading("Verdict, part by part"), _parts(report), html.heading("Events"), _events(trial)]
    problems = report["problems"] + remarks
    if problems:
        blocks += [html.heading("What could not be read or drawn"), html.table(("",), [(p,) for p in problems])]
    blocks += [html.heading("Where it comes from"), _provenance(report)]
    return html.page(f"Trial of {reference.name}" if reference else f"Trial {report['name']}", lead, blocks), remarks


def _cards(trial: Trial, report: dict[str, Any]) -> list[Card]:
    verdict, result = report["verdict"], trial.result
    moods = {PASSED: GOOD, FAILED: BAD}
    cards = [Card(name, verdict[name]["state"], verdict[name]["why"], moods.get(verdict[name]["state"], NEUTRAL)) for name in ("lifted", "held")]
    if result is not None:
        m = result.metrics
        cards += [
            Card("object position error, mean", f"{100 * m.t_err_m:.1f} cm", f"on the {result.source}; paper's bound 10 cm"),
            Card("object rotation error, mean", f"{np.rad2deg(m.r_err_rad):.1f}°", "paper's bounds 20° and 40°"),
            Card("hand error", f"{0.5 * m.e_wrist + 0.5 * m.e_finger_rad:.2f}", f"wrist {m.e_wrist:.3f}, fingers {m.e_finger_rad:.3f} rad; bound 0.8"),
            Card("object lifted to", f"{100 * max(0.0, result.height.max()):.1f} cm", f"reference {100 * max(0.0, result.reference_height.max()):.1f} cm"),
        ]
    loop = report["loop_period_ms"]
    if loop["n"]:
        note = f"median {loop['p50']:.2f}, nominal {1e3 * CONTROL_PERIOD:.2f}, overruns {_or_dash(report['overruns'])}"
        cards.append(Card("loop period, p99", f"{loop['p99']:.1f} ms", note))
    end = report["latency_ms"].get("sensor->command", {"n": 0})
    if end["n"]:
        cards.append(Card("sensor to command, p99", f"{end['p99']:.1f} ms", f"median {end['p50']:.1f} ms"))
    return cards


def _pictures(trial: Trial, remarks: list[str]) -> list[str]:
    """The film strip, or nothing where there is no reference or no OpenGL (then with a remark)."""
    if trial.reference is None or trial.object is None:
        return []
    result = trial.result
    rows = list(motion.of_reference(result.reference if result else trial.reference))
    if result is not None:
        rows.append(motion.reached(result.reference, result.hand, result.object_position_w, result.object_quaternion_w, "trial", _arm(trial, result)))
    try:
        strip = film_strip(rows, trial.object)
    except DexTrackError as error:
        remarks.append(f"pictures: {error.what}")
        return []
    what = "The recorded human hand, the reference that it was retargeted to, and the trial" if result else "The recorded human hand and the reference"
    caption = (
        f"{what}, at the same moments and from the same cameras. "
        "Where the trial's object is visibly off, a translucent blue one shows where the reference has it. Squares on the table are 5 cm wide; "
        "numbers are the height of the object's lowest point and its distance and angle from the reference."
    )
    return [html.heading("Film strip"), html.film_strip(strip, caption)]


def _arm(trial: Trial, result: TrialResult) -> motion.ArmMotion | None:
    if result.arm is None or trial.cell is None:
        return None
    mount = trial.cell.arm
    return motion.ArmMotion(trial.data.arm.names, result.arm, mount.base_position_w, mount.base_quaternion_w, mount.model)


def _curves(result: TrialResult, obj: ObjectSpec) -> list[str]:
    """The object's height and errors, and the hand's errors, over time."""
    shaded = result.reference_height >= REFERENCE_LIFT
    moments = key_frames(motion.of_reference(result.reference)[1], obj) if shaded.any() else ()
    marks = [(key.time, key.label) for key in moments if key.label in ("contact", "lift", "peak")]
    return [html.heading("The object"), _heights(result, shaded, marks), _errors(result, shaded, marks), html.heading("The hand"), _hand(result, shaded)]


def _heights(result: TrialResult, shaded: Flags, marks: Marks) -> str:
    own, reference = 100 * result.height, 100 * result.reference_height
    curves = (Curve("reference", reference, REFERENCE, dashed=True), Curve("trial", own, TRIAL))
    panel = Panel("lowest point of\nthe object, cm", curves, (Level(100 * OBJECT_LIFT, "lifted: 2 cm"),))
    caption = f"Height of the object's lowest point above the table, in the reference (dashed) and in the trial. {_SHADED}"
    alt = f"Curve of the object's height: the trial peaks at {own.max():.1f} cm, the reference at {reference.max():.1f} cm."
    return html.figure(figures.over_time("heights", result.time, [panel], shaded, marks), caption, alt)


def _errors(result: TrialResult, shaded: Flags, marks: Marks) -> str:
    reference = result.reference
    position = 100 * tracking_metrics.translation_error(result.object_position_w, reference.object_position_w)
    rotation = np.rad2deg(tracking_metrics.rotation_error(result.object_quaternion_w, reference.object_quaternion_w))
    panels = [
        Panel("object position\nerror, cm", (Curve("trial", position),), (Level(100 * HELD_ERROR, "held: 5 cm"), Level(10.0, "paper: 10 cm"))),
        Panel("object rotation\nerror, degrees", (Curve("trial", rotation),), (Level(20.0, "paper: 20°"), Level(40.0, "paper: 40°"))),
    ]
    of = {"truth": "as it truly was in the twin", "estimate": "as the camera saw it"}[result.source]
    caption = f"Distance and angle between the trial's object ({of}) and the reference's, with the thresholds of verdict and paper. {_SHADED}"
    alt = f"Curves of the object's position and rotation error: largest {position.max():.1f} cm and {rotation.max():.0f} degrees."
    return html.figure(figures.over_time("errors", result.time, panels, shaded, marks), caption, alt)


def _hand(result: TrialResult, shaded: Flags) -> str:
    names, difference = result.reference.joint_names, result.hand - result.reference.hand
    palm = 100 * np.linalg.norm(difference[:, [names.index(n) for n in WRIST_JOINTS[:3]]], axis=1)
    joints = np.rad2deg(np.abs(difference[:, [i for i, n in enumerate(names) if n not in WRIST_JOINTS]]).mean(axis=1))
    panels = [Panel("wrist position\nerror, cm", (Curve("trial", palm),)), Panel("finger joint error,\nmean, degrees", (Curve("trial", joints),))]
    caption = "How far the hand was from the reference's. Fingers that hold an object press into it: they need not follow the reference to the last degree."
    alt = f"Curves of the wrist's position error, largest {palm.max():.1f} cm, and of the mean finger joint error, largest {joints.max():.0f} degrees."
    return html.figure(figures.over_time("hand", result.time, panels, shaded), caption, alt)


def _timing(trial: Trial, report: dict[str, Any]) -> list[str]:
    blocks = [html.heading("Timing")]
    loop, edges = report["loop_period_ms"], {name: e for name, e in report["latency_ms"].items() if e["n"]}
    if loop["n"]:
        periods, tick = np.diff(trial.data.target_times_ns) * 1e-6, report["loop_duration_ms"]
        text = f"median {loop['p50']:.2f} ms, p99 {loop['p99']:.2f} ms, largest {loop['max']:.2f} ms, {_or_dash(report['overruns'])} overruns"
        if tick["n"]:
            text += f"; a tick's own work took {tick['p50']:.2f} ms, p99 {tick['p99']:.2f} ms, at most {tick['max']:.2f} ms"
        drawn = figures.histogram("loop", periods, 1e3 * CONTROL_PERIOD, "period between two targets, ms")
        blocks.append(
            html.figure(drawn, f"Periods of the control loop ({loop['n']}), counted on a logarithmic scale: {text}.", f"Histogram of loop periods: {text}.")
        )
    if edges:
        drawn = figures.ranges("latency", {name: (e["p50"], e["p99"], e["max"]) for name, e in edges.items()}, "latency, ms")
        text = "; ".join(f"{name} median {e['p50']:.1f}, p99 {e['p99']:.1f}" for name, e in edges.items())
        blocks.append(html.figure(drawn, "Latency between processes, from stamps carried in the messages.", f"Latency per edge in ms: {text}."))
        rows = [(name, str(e["n"]), *(f"{e[k]:.2f}" for k in ("p50", "p99", "max"))) for name, e in edges.items()]
        blocks.append(html.table(("edge", "messages", "median, ms", "p99, ms", "largest, ms"), rows))
    return blocks if len(blocks) > 1 else [*blocks, html.paragraph("The log holds no ticks of the control loop.")]


def _parts(report: dict[str, Any]) -> str:
    verdict = report["verdict"]
    rows = [(name, verdict[name]["state"], verdict[name]["why"]) for name in ("lifted", "held", "clean", "robust")]
    if report["demonstration"]:
        mined = report["demonstration"]["verdict"]
        known = [(k, mined[k]) for k in ("lifted", "held", "clean", "robust") if isinstance(mined.get(k), dict)]
        rows += [(f"{k}, of the demonstration when it was mined", str(v.get("state")), str(v.get("why"))) for k, v in known]
    return html.table(("part", "state", "finding"), rows)


def _events(trial: Trial) -> str:
    """States, requests and what nodes reported, in the order of their time."""
    rows = [(int(e["stamp_ns"]), str(e["kind"]), _words(e)) for e in trial.data.events]
    if not any(kind == "state" for _, kind, _ in rows):
        rows += [(t, "state", f"{s.state.value}: {s.reason}") for t, s in trial.data.statuses]
    rows += [(h.received_ns, f"node {h.node}", h.message) for h in trial.data.health if h.level > 0]
    if not rows:
        return html.paragraph("No events were recorded.")
    rows.sort(key=lambda row: row[0])
    first = trial.result.start_ns if trial.result else rows[0][0]
    return html.table(("time, s", "event", "what happened"), [(f"{(t - first) * 1e-9:+.2f}", kind, text) for t, kind, text in rows[:400]])


def _words(event: dict[str, Any]) -> str:
    if event["kind"] == "state":
        return f"{event.get('before')} → {event.get('after')}: {event.get('reason')}"
    if event["kind"] == "request":
        return f"{event.get('event')}: {'accepted' if event.get('accepted') else 'refused'}, {event.get('reason')}"
    if event["kind"] == "outcome":
        return f"{event.get('ended')}: {event.get('reason')} ({event.get('ticks')} of {event.get('n_ticks')} targets)"
    return ", ".join(f"{k} {v}" for k, v in event.items() if k not in ("stamp_ns", "kind"))


def _provenance(report: dict[str, Any]) -> str:
    keys = ("name", "date", "command", "cell", "mode", "seed", "mismatch", "code", "digests", "reference", "estimate_error", "provenance")
    return html.table(("what", "value"), list(_flat({k: report.get(k) for k in keys})))


def _flat(value: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, item in value.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{prefix}{key} · ")
        elif item is not None:
            yield f"{prefix}{key}", ", ".join(map(_short, item)) if isinstance(item, (list, tuple)) else _short(item)


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _or_dash(value: Any) -> str:
    return "–" if value is None else str(value)
