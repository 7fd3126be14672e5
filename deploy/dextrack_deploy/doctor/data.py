"""Data: which recordings are installed, and whether more can be."""

from __future__ import annotations

from pathlib import Path

from dextrack_deploy.doctor.case import Case
from dextrack_deploy.doctor.finding import Finding, note, ok, problem
from dextrack_deploy.doctor.system import System


def check(system: System, case: Case) -> list[Finding]:
    """Recordings, and the folder that they lie in."""
    counts = {}
    for folder in sorted(case.data.glob("*/recordings")):
        counts[folder.parent.name] = sum(1 for p in folder.glob("*.npz") if not p.name.startswith("."))
    total = sum(counts.values())
    if total:
        listed = ", ".join(f"{n} of {name}" for name, n in counts.items() if n)
        recordings = ok("recordings", f"{listed}. `dextrack data check` reads them all.")
    else:
        recordings = note("recordings", f"none in {case.data}.", "`dextrack data install myodm` (`make track` does it by itself).")
    return [recordings, _folder(system, case.data, bool(total))]


def nearest(folder: Path) -> Path:
    """``folder``, or the nearest folder above it that there is."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _folder(system: System, folder: Path, filled: bool) -> Finding:
    """Whether files can be put into the data folder."""
    if system.usable(nearest(folder)):
        return ok("data folder", f"{folder} can be written.")
    what = f"{folder} cannot be written by you."
    remedy = "give another with `export DEXTRACK_DATA=FOLDER`, or take ownership of it."
    return note("data folder", f"{what} What is installed can be read.", remedy) if filled else problem("data folder", what, remedy)
