"""The devices that tests of what can run on a GPU run on: the CPU, and the first GPU where there is one."""

from __future__ import annotations

import torch

DEVICES = ("cpu", *(("cuda:0",) if torch.cuda.is_available() else ()))


def rounding(device: str) -> float:
    """How far apart runs may be that are the same bit for bit on the CPU: a GPU adds in any order, and a touch makes little differences grow."""
    return 0.0 if device == "cpu" else 1e-3
