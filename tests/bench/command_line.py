"""The command that a result names: whoever reads it types it in a checkout of their own, so it has no path of this machine."""

from __future__ import annotations

import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def command_line(arguments: list[str] | None = None) -> str:
    """``python tests/bench/NAME.py ...`` as it was called, or as it would have been with ``arguments`` (the script's path first).

    Absolute paths in the checkout become relative to it, others their last part.
    """
    script, *rest = sys.argv if arguments is None else arguments
    return " ".join(["python", f"tests/bench/{Path(script).name}", *map(_without_machine, rest)])


def _without_machine(argument: str) -> str:
    option, equals, value = argument.rpartition("=")
    path = Path(value)
    if not path.is_absolute():
        return argument
    inside = path.is_relative_to(CHECKOUT)
    return option + equals + str(path.relative_to(CHECKOUT) if inside else path.name)
