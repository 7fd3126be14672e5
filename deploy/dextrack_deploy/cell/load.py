"""Reading cell configurations: those that DexTrack ships by name, anyone's by path."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import dextrack_assets
import yaml

from dextrack.errors import InputError
from dextrack_deploy.cell.config import CellConfig

T = TypeVar("T")


def cell_names() -> tuple[str, ...]:
    """Names of the cells that DexTrack ships."""
    return tuple(sorted(p.stem for p in dextrack_assets.path("cells").glob("*.yaml")))


def load_cell(name_or_path: str | Path) -> CellConfig:
    """Read the cell called ``name_or_path``, or the YAML file at that path.

    Raises:
        InputError: no such cell or file, the file is not YAML, or a field is missing, unknown or implausible.
    """
    path = Path(name_or_path)
    if str(name_or_path) in cell_names():
        path = dextrack_assets.path("cells", f"{name_or_path}.yaml")
    elif not path.is_file():
        choices = ", ".join(cell_names())
        raise InputError(f"cell {str(name_or_path)!r} is not known and there is no such file.", remedy=f"choose one of: {choices}, or give a file.")
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: this is not YAML ({error}).", remedy="compare it with the cell `twin`.") from None
    try:
        return _measured(_zeroed(_build(CellConfig, value, "")), path.parent)
    except InputError as error:
        raise InputError(f"{path}: {error.what}", remedy=error.remedy) from None


def _zeroed(cell: CellConfig) -> CellConfig:
    """``cell``, where every zero of its hand is one of a joint that it has."""
    if cell.hand.zeros:
        # As below: the hand's model takes long to import.
        from dextrack.hands import load_hand

        joints = load_hand(cell.hand.model).finger_joints
        strange = [name for name in cell.hand.zeros if name not in joints]
        if strange:
            raise InputError(f"field hand.zeros names joint {strange[0]}, which {cell.hand.model} has not.", remedy=f"use: {', '.join(joints)}.")
    return cell


def _measured(cell: CellConfig, folder: Path) -> CellConfig:
    """``cell`` with the lag of its hand's measured motors, where it names their file, and their file's whole path; ``folder`` is where the cell's own lies."""
    if not cell.hand.motors:
        return cell
    if cell.hand.lag_s:
        raise InputError("field hand.lag_s is given beside hand.motors.", remedy="leave lag_s out, which the measured motors say; or leave motors out.")
    # The hand's model takes long to import, and a cell without measured motors does not need it.
    from dextrack.hands import load_hand
    from dextrack.hands.motors import load_motors, require_same_model

    hand, motors = load_hand(cell.hand.model), load_motors(folder / cell.hand.motors)
    require_same_model(motors, hand, f"field hand.motors, {cell.hand.motors}")
    file = str((folder / cell.hand.motors).resolve())
    return dataclasses.replace(cell, hand=dataclasses.replace(cell.hand, lag_s=motors.lag_s, motors=file))


def _build(kind: type[T], value: Any, where: str) -> T:
    """Make the dataclass ``kind`` from a mapping; every unknown or missing key is an error that names it."""
    if not isinstance(value, dict):
        raise InputError(f"field {where or 'of the whole file'} is not a mapping of names to values.", remedy="compare it with the cell `twin`.")
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = [str(k) for k in value if k not in fields]
    if unknown:
        raise InputError(f"field {where}{unknown[0]} is not known.", remedy=f"use only: {', '.join(fields)}.")
    missing = [n for n, f in fields.items() if n not in value and f.default is f.default_factory is dataclasses.MISSING]
    if missing:
        raise InputError(f"field {where}{missing[0]} is missing.", remedy="compare the file with the cell `twin`.")
    return kind(**{n: _convert(hints[n], v, f"{where}{n}") for n, v in value.items()})


def _convert(kind: Any, value: Any, where: str) -> Any:
    """Turn a YAML value into what a field of type ``kind`` holds."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _build(kind, value, f"{where}.")
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise InputError(f"field {where} is not a list.", remedy=f"give {len(get_args(kind))} numbers in brackets.")
        return tuple(_number(v, where) for v in value)
    if get_origin(kind) is Mapping:
        if not isinstance(value, dict):
            raise InputError(f"field {where} is no mapping of names to numbers.", remedy='write, for example, {"3": 0.035}.')
        return {str(k): _number(v, f"{where}.{k}") for k, v in value.items()}
    if kind is float:
        return _number(value, where)
    if not isinstance(value, str):
        raise InputError(f"field {where} is not text.", remedy="write a name.")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"field {where} holds {value!r}, which is not a number.", remedy="give numbers in SI units.")
    return float(value)
