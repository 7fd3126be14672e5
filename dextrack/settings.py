"""Settings that make sense: numbers of a configuration in their range, refused by name where they are not."""

from __future__ import annotations

import math
from collections.abc import Iterable

from dextrack.errors import InputError


def require(settings: object, what: str, fields: Iterable[str], remedy: str, least: float = 0.0, more: bool = False) -> None:
    """Refuse numbers that are too small, infinite or none.

    Args:
        settings: whose attributes are looked at.
        what: what they are settings of, for the message.
        fields: names of the attributes.
        remedy: what to give instead.
        least: the smallest number allowed, ...
        more: ... or, where true, the largest that is too small.

    Raises:
        InputError: the first field that is out of range, by name.
    """
    for field in fields:
        value = getattr(settings, field)
        if not least <= value < math.inf or (more and value == least):
            raise InputError(f"{what}: {field} is {value}.", remedy=remedy)
