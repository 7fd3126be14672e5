"""The picture of a session: measured and fitted step responses, one diagram per joint and size of step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dextrack.files import replacing
from dextrack_calibration.motors.fit import MotorFit

MEASURED, FITTED = "#c24e00", "#0072b2"
"""Those of trial and reference on the pages of reports."""
_STYLE: dict[Any, Any] = {
    "font.size": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
}


def draw(path: Path, title: str, fits: Sequence[MotorFit]) -> None:
    """Write ``fits`` (one or more) as SVG to ``path``, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    columns = [_sizes(fit) for fit in fits]
    width = max(len(sizes) for sizes in columns)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.1 * width, 0.7 + 1.75 * len(fits)), layout="constrained")
        axes = figure.subplots(len(fits), width, sharex=True, squeeze=False)
        for row, fit, sizes in zip(axes, fits, columns, strict=True):
            for cell, size in zip(row, sizes, strict=False):
                _responses(cell, fit, size)
            m = fit.motor
            row[0].set_ylabel(f"joint {fit.joint}\nposition, rad")
            row[-1].set_title(f"kp {m.kp:.2f}, kv {m.kv:.3f}, effort {m.effort:.3f}, delay {1e3 * m.delay:.1f} ms", loc="right", fontsize=7.5)
        for cell in axes[-1]:
            cell.set_xlabel("time since the target was sent, s")
        figure.suptitle(title, fontsize=9.5)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        with replacing(Path(path)) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})


def _sizes(fit: MotorFit) -> list[float]:
    return sorted({_size(r.move.start, r.move.target) for r in fit.responses})


def _size(start: float, target: float) -> float:
    return round(abs(target - start), 6)


def _responses(axes: Axes, fit: MotorFit, size: float) -> None:
    """Every response to steps of ``size``: repeats lie on each other."""
    labels = {"measured": "measured", "fitted": "fitted", "target": "target"}
    for response, (time, position) in zip(fit.responses, fit.fitted, strict=True):
        if _size(response.move.start, response.move.target) != size:
            continue
        axes.plot(
            [0.0, 0.0, time[-1]], [response.move.start, *[response.move.target] * 2], ":", color="#59616b", linewidth=0.8, label=labels.pop("target", None)
        )
        axes.plot(response.time, response.position, ".", color=MEASURED, markersize=2.0, label=labels.pop("measured", None))
        axes.plot(np.concatenate([[0.0], time]), np.concatenate([[response.rest], position]), color=FITTED, label=labels.pop("fitted", None))
    axes.set_xlim(-0.01, 0.35)
    axes.grid(axis="y", linewidth=0.4, alpha=0.6)
