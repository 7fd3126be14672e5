"""Physics backends as the command line of a benchmark names them, and the machine they ran on."""

from __future__ import annotations

import dataclasses
import os
import platform
from typing import Any

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
