"""Options of a backend as a command line has them."""

from __future__ import annotations

import ast
from typing import Tuple

from dextrack.errors import InputError


def option(text: str) -> Tuple[str, object]:
    """``NAME=VALUE`` as (name, value); a value that is no literal of Python is text.

    Raises:
        InputError: it is not NAME=VALUE.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise InputError("option %r: it is not NAME=VALUE." % text, remedy="write, for example, n_threads=1 or device=cuda:0.")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
