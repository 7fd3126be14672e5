"""Checkpoints of the RL tracker: tensors as safetensors, with a JSON header that names what they belong to. Nothing in them can run code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dextrack.errors import InputError
from dextrack.files import replacing

_HEADER = "dextrack"


def save(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write ``tensors``, of any device, and a JSON-able ``header`` to ``path``, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(Path(path)) as temporary:
        save_file({k: v.cpu().contiguous() for k, v in tensors.items()}, temporary, metadata={_HEADER: json.dumps(header, allow_nan=False)})


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``save`` wrote: (tensors, on the CPU; header).

    Raises:
        InputError: the file is missing, damaged, or no checkpoint of this kind.
    """
    try:
        with safe_open(str(path), framework="pt") as f:
            header = json.loads((f.metadata() or {})[_HEADER])
            return {k: f.get_tensor(k) for k in f.keys()}, header  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path}: this is no readable checkpoint of the RL tracker ({error}).", remedy="delete it, and training begins anew.") from None
