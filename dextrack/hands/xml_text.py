"""How our generated model files are written: numbers that are equal on every machine, one element a line."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
from numpy.typing import ArrayLike


def numbers(values: ArrayLike) -> str:
    """``values`` of any shape as one line of text."""
    # Ten digits are enough for a picometre, and few enough to be equal on every machine; adding 0.0 turns -0 into 0.
    return " ".join("%.10g" % (round(float(v), 13) + 0.0) for v in np.ravel(np.asarray(values, dtype=np.float64)))


def indent(element: ElementTree.Element, line: str = "\n") -> None:
    """Break lines before every child, two spaces deeper each level (``ElementTree.indent`` came with Python 3.9)."""
    if len(element):
        element.text = line + "  "
        for child in element:
            indent(child, line + "  ")
            child.tail = line + "  "
        element[-1].tail = line
