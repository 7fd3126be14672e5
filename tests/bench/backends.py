"""Physics backends as the command line of a benchmark names them, and the machine they ran on."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from command_line import command_line

from dextrack.sim import backend_names
from dextrack.sim.options import option


@dataclasses.dataclass(frozen=True)
class Named:
    """A backend with its options under a label: ``[LABEL=]NAME[:OPTION=VALUE,...]``, such as ``isaacgym=remote:address=tcp://127.0.0.1:5555``."""

    label: str
    name: str
    options: dict[str, Any]

    @staticmethod
    def parse(text: str) -> Named:
        """Read what the command line says; a value that is no literal of Python is text."""
        head, _, tail = text.partition(":")
        label, _, name = head.rpartition("=")
        options = dict(option(pair) for pair in tail.split(",")) if tail else {}
        return Named(label or name, name, options)


def every() -> list[Named]:
    """All registered backends, without options."""
    return [Named(name, name, {}) for name in backend_names()]


def machine() -> str:
    """Processor, cores, GPU where torch sees one, system and Python, in one line."""
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"
    return f"{platform.machine()}, {os.cpu_count()} cores, {gpu}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def of_run(*modules: ModuleType) -> dict[str, Any]:
    """What each row says of the run that it is of: rows of several runs share a file."""
    return {
        "command": command_line(),
        "machine": machine(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "load_1min": round(os.getloadavg()[0], 2),
        "versions": {module.__name__: module.__version__ for module in modules},
    }


def merged(path: Path, rows: Sequence[dict[str, Any]], key: Sequence[str]) -> list[dict[str, Any]]:
    """``rows``, after those of the ``results`` in the file at ``path`` that are of another ``key``; one that did not run replaces none that did."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"results": []}
    # Rows of files that were written before rows had a run of their own are of the file's.
    of_file = {k: content[k] for k in ("command", "machine", "date", "load_1min", "versions") if k in content}
    before = [{**of_file, **row} for row in content["results"]]
    did = {tuple(row[k] for k in key) for row in before if "reason" not in row}
    new = [row for row in rows if "reason" not in row or tuple(row[k] for k in key) not in did]
    replaced = {tuple(row[k] for k in key) for row in new}
    return [row for row in before if tuple(row[k] for k in key) not in replaced] + new
