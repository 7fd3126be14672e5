"""Facts: what the panel says of a motion in words, as HTML. Every text out of a file is escaped: it may come from a stranger."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.references.recording import Recording
from dextrack.references.reference import Reference
from dextrack.tracking.verdict import FAILED, PASSED

GOOD, BAD, PLAIN = "#00664c", "#b23c00", "#59616b"
_SIGNS = {PASSED: ("✓", GOOD), FAILED: ("✗", BAD)}
PARTS = ("lifted", "held", "clean", "robust")
"""Of a verdict."""

Row = tuple[str, str]


def of_recording(recording: Recording) -> str:
    """Where it is from, how long it is, and what is known to be wrong with it."""
    step = float(np.median(np.diff(recording.time)))
    rows = [
        ("object", recording.object_name),
        ("hand", f"human, {recording.side}"),
        ("length", f"{recording.time[-1] - recording.time[0]:.2f} s, {len(recording.time)} frames at about {1 / step:.0f} Hz"),
        ("data set", recording.dataset or "not said"),
        ("licence", recording.licence or "not said"),
    ]
    return _table(rows) + _warnings(recording.flags)


def of_reference(reference: Reference) -> str:
    """The diagnosis: what retargeting measured, and what will probably make tracking fail."""
    diagnosis = reference.diagnosis
    rows = [
        ("object", reference.object_name),
        ("hand", reference.hand_name),
        ("length", f"{reference.n_steps * reference.period:.2f} s, {reference.n_steps + 1} frames"),
        ("time scale", "as recorded" if abs(reference.time_scale - 1) < 5e-3 else f"{reference.time_scale:.2f} times as long as recorded"),
    ]
    rows += _numbers(
        diagnosis,
        ("lift_m", "lift", 100.0, "{:.1f} cm"),
        ("opposition", "opposition", 1.0, "{:.2f} (1 is a perfect pinch)"),
        ("fingertip_error_m", "fingertip error", 1e3, "{:.1f} mm"),
        ("penetration_max_m", "penetration", 1e3, "{:.1f} mm at most"),
        ("table_clearance_m", "table clearance", 1e3, "{:.1f} mm at least"),
    )
    gaps = diagnosis.get("contact_gap_m")
    if isinstance(gaps, dict) and gaps:
        rows.append(("contact gap", ", ".join(f"{finger} {1e3 * gap:.1f}" for finger, gap in gaps.items()) + " mm"))
    flags = reference.provenance.get("flags")
    return _table(rows) + _warnings([*diagnosis.get("warnings", []), *(flags if isinstance(flags, list) else [])])


def of_demonstration(demonstration: Demonstration) -> str:
    """The verdict part by part, and the paper's metrics."""
    verdict, metrics = demonstration.verdict, demonstration.metrics
    passed = bool(verdict.get("passed"))
    head = f'<div style="font-weight:700;color:{GOOD if passed else BAD}">{"The whole verdict passed" if passed else "The verdict did not pass"}</div>'
    parts = []
    for name in PARTS:
        part = verdict.get(name)
        state, why = (str(part.get("state")), str(part.get("why"))) if isinstance(part, dict) else ("not judged", "")
        sign, colour = _SIGNS.get(state, ("–", PLAIN))
        parts.append(
            f'<div style="display:flex;gap:.5em;margin:.25em 0"><span style="color:{colour};font-weight:700;width:1em">{sign}</span>'
            f'<span><b style="color:{colour}">{escape(name)}</b> <span style="color:{PLAIN}">{escape(why or state)}</span></span></div>'
        )
    rows = _numbers(
        metrics,
        ("t_err_m", "position error", 100.0, "{:.1f} cm, mean"),
        ("r_err_rad", "rotation error", 180 / np.pi, "{:.1f}°, mean"),
        ("e_finger_rad", "finger error", 180 / np.pi, "{:.1f}°, mean"),
    )
    for key, label in (("success_20", "paper, 10 cm 20°"), ("success_40", "paper, 10 cm 40°")):
        if key in metrics:
            rows.append((label, "success" if metrics[key] else "no success"))
    return (head if verdict else "") + "".join(parts if verdict else []) + _table(rows)


def _numbers(values: dict[str, Any], *wanted: tuple[str, str, float, str]) -> list[Row]:
    """Rows of those ``wanted`` (key, label, factor, format) that ``values`` has a number for."""
    return [(label, text.format(factor * values[key])) for key, label, factor, text in wanted if isinstance(values.get(key), (int, float))]


def _table(rows: Sequence[Row]) -> str:
    cells = "".join(
        f'<tr><td style="color:{PLAIN};padding:.1em .8em .1em 0;vertical-align:top;white-space:nowrap">{escape(name)}</td>'
        f'<td style="padding:.1em 0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums">{escape(value)}</td></tr>'
        for name, value in rows
    )
    return f'<table style="border-collapse:collapse;margin-top:.4em">{cells}</table>' if rows else ""


def _warnings(texts: Sequence[Any]) -> str:
    return "".join(f'<div style="color:{BAD};margin:.3em 0">⚠ {escape(str(text))}</div>' for text in texts)
