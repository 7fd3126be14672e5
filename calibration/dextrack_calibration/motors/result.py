"""What a session leaves: the file that ``dextrack.hands.motors`` reads, and a table."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any

from dextrack_deploy.drivers import leap_registers
from rich.table import Table

from dextrack import __version__
from dextrack.files import write_json
from dextrack.hands.motors import Motors, hand_digest
from dextrack.hands.spec import HandSpec
from dextrack_calibration.motors.fit import MotorFit
from dextrack_calibration.motors.session import Session


def motors_of(hand: HandSpec, session: Session) -> Motors:
    """The motors that were fitted."""
    return Motors(hand.name, {fit.joint: fit.motor for fit in session.fits})


def write(path: Path, hand: HandSpec, session: Session, how: dict[str, Any]) -> None:
    """Write the calibration file, whole or not at all.

    Args:
        path: the JSON file.
        hand: the hand that was measured.
        session: its fits.
        how: what was asked for, for the provenance.

    Raises:
        InputError: it cannot be written.
    """
    settings, info = leap_registers.settings(hand), session.info
    provenance = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "port": info.device,
        "baud": info.baud,
        "firmware": list(info.firmware),
        "p_gain": settings.p.tolist(),
        "d_gain": settings.d.tolist(),
        "current_limit_ma": settings.current_ma.tolist(),
        "code": __version__,
        **how,
    }
    value = {
        "hand": hand.name,
        "digest": hand_digest(hand),
        "lag_s": round(motors_of(hand, session).lag_s, 5),
        "joints": {fit.joint: _joint(fit) for fit in session.fits},
        "refused": {joint: error.what for joint, error in session.refused.items()},
        "provenance": provenance,
    }
    write_json(path, value)


def _joint(fit: MotorFit) -> dict[str, Any]:
    return {
        **{name: float(f"{value:.6g}") for name, value in dataclasses.asdict(fit.motor).items()},
        "load": float(f"{fit.load:.4g}"),
        "standard_error": {name: float(f"{value:.3g}") for name, value in fit.error.items()},
        "residual_rad": float(f"{fit.residual_rad:.3g}"),
        "residual_part": float(f"{fit.residual_part:.3g}"),
        "rate_hz": round(fit.rate_hz, 1),
        "steps": len(fit.responses),
    }


def table(session: Session, truth: Motors | None = None) -> Table:
    """A table for the terminal: each value with its standard error; with the ``truth`` of a rehearsal, how far each is off."""
    out = Table(box=None, pad_edge=False)
    for heading in ("joint", "kp N m/rad", "kv N m s/rad", "effort N m", "delay ms", "friction N m", "residual mrad", "reads/s"):
        out.add_column(heading, justify="left" if heading == "joint" else "right")
    for fit in session.fits:
        m, e = fit.motor, fit.error
        true = None if truth is None else truth.joints.get(fit.joint)

        def shown(name: str, form: str, unit: float = 1.0, fit: MotorFit = fit, true: object = true) -> str:
            value = getattr(fit.motor, name)
            off = "" if true is None else f" ({value / getattr(true, name) - 1:+.1%})"
            return f"{unit * value:{form}} ± {unit * fit.error[name]:{form}}{off}"

        friction = f"{m.friction:.3f} ± {e['friction']:.3f}"
        cells = shown("kp", ".2f"), shown("kv", ".3f"), shown("effort", ".3f"), shown("delay", ".1f", 1e3), friction
        out.add_row(fit.joint, *cells, f"{1e3 * fit.residual_rad:.1f}", f"{fit.rate_hz:.0f}")
    return out
