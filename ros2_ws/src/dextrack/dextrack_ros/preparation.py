"""Preparing a trial: from what the operator asked for to a trial folder with everything that the nodes read.

``dextrack track`` and the launch file both begin here, so that a trial is the same trial however it is started.
"""

from __future__ import annotations

import dataclasses
import json
import re
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from dextrack_deploy import graph
from dextrack_deploy.cell import CellConfig, cell_names, load_cell
from dextrack_deploy.cell.config import PEER, TWIN
from dextrack_deploy.placed import arm_path_file, reference_of
from dextrack_deploy.placement import lying_at, place
from dextrack_deploy.source import load_source
from dextrack_deploy.trial import TrialFolder
from dextrack_deploy.twin import wire

from dextrack import __version__
from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError, RefusedError
from dextrack.files import digest, replacing, write_json
from dextrack.hands.motors import load_motors
from dextrack.objects.spec import ObjectSpec
from dextrack.references.library import find_object
from dextrack.references.reference import Reference

PARAMETERS_FILE = "parameters.yaml"
"""The nodes' parameters in a trial folder, as ROS 2 reads them."""
TASK_FILE = "task.json"
"""What was asked for, in a trial folder."""
MOTORS_APART = 0.15
"""Part of a measured gain or torque by which that of a demonstration may differ unremarked."""
_NODE_OF = {"hand": "hand_driver", "arm": "arm_driver", "object_pose": "object_pose"}
"""Device of a cell -> the node that talks to it."""


@dataclasses.dataclass(frozen=True)
class TrialRequest:
    """What an operator asks for."""

    source: Path
    """Reference (.npz) or demonstration store (.h5)."""
    name: str = ""
    """Name of the demonstration in the store; empty: the only one."""
    object: str = ""
    """Object file; empty: found by the name that the reference has for it."""
    cell: str = "twin"
    mode: str = "replay"
    hand: str = "leap_right"
    at: tuple[float, float, float] | None = None
    """Where the object lies: x and y in m, and its turn about the vertical from how the task begins, degrees; None: the best place is found."""
    seed: int = 0
    placement_seed: int | None = None
    """Seed of the search for the best place; None: ``seed``."""
    zero_mismatch: bool = False
    record: bool = True
    dry_run: bool = False
    speed: float = 1.0
    """How fast the run plays, as a part of its own speed."""
    backend: str = ""
    """What is behind the shadow simulator; empty: as ``params`` say."""
    backend_address: str = ""
    """Where a remote one listens; empty: as ``params`` say."""
    params: str = ""
    """File of node parameters to use instead of the defaults, as ``config/params.yaml`` has them."""
    command: str = ""
    """The command line, for the report."""


@dataclasses.dataclass(frozen=True)
class PreparedTrial:
    """A trial folder that is ready to run."""

    folder: TrialFolder
    nodes: tuple[str, ...]
    """Nodes to start, in the order of bring-up."""
    seconds: float
    """Duration of the run."""
    dry_run: bool
    where: str = ""
    """Where the object must lie, in words."""
    hardware: tuple[str, ...] = ()
    """Devices of the cell that are really there: before these move, a person is asked."""
    note: str = ""
    """What a person should know before the trial; empty: nothing."""

    @property
    def parameters(self) -> Path:
        """The file of every node's parameters."""
        return self.folder.path / PARAMETERS_FILE


def check_unused(folder: TrialFolder) -> None:
    """Refuse a folder that holds a trial.

    Raises:
        RefusedError: it does.
    """
    if any((folder.path / name).exists() for name in (TASK_FILE, folder.log.name, folder.report_json.name)):
        raise RefusedError(f"{folder.path}: there is a trial in this folder already.", remedy="give the new one a folder of its own.")


def prepare(request: TrialRequest, folder: TrialFolder) -> PreparedTrial:
    """Place what was asked for in the cell, and write ``task.json``, the placed file, the object and the nodes' parameters into ``folder``.

    Raises:
        InputError: a file is missing or damaged, or names something unknown.
        RefusedError: the arm cannot do what the reference asks, or the cell has another hand.
    """
    graph.SPEED.check(request.speed)
    cell = load_cell(request.cell)
    item = load_source(request.source, request.name)
    reference = reference_of(item)
    _check(reference, cell, request)
    obj = ObjectSpec.load(Path(request.object)) if request.object else find_object(reference, request.source)
    lies = None if request.at is None else lying_at(item, *request.at)
    seed = request.seed if request.placement_seed is None else request.placement_seed
    placed = place(item, cell, lies, seed=seed) if isinstance(item, Demonstration) else place(item, cell, lies, seed=seed)
    placed_file = _save(placed.task, folder.path / ("placed.h5" if isinstance(item, Demonstration) else "placed.npz"))
    np.save(arm_path_file(placed_file), placed.arm_path, allow_pickle=False)
    object_file = folder.path / "objects" / f"{reference.object_name}.npz"
    object_file.parent.mkdir(exist_ok=True)
    obj.save(object_file)
    nodes = tuple(n for n in graph.node_names(cell.drivers.twin) if request.record or n != "recorder")
    _write_parameters(folder.path / PARAMETERS_FILE, request, nodes, placed_file, object_file)
    task = {
        **dataclasses.asdict(_absolute(request)),
        "placed": placed_file.name,
        "where": placed.where,
        "placement": {"transform": dataclasses.asdict(placed.transform), "time_scale": placed.time_scale, **dataclasses.asdict(placed.figures)},
        "nodes": nodes,
        "hardware": cell.drivers.hardware,
        "note": _note(item, cell),
        "seconds": placed.reference.n_steps * placed.reference.period / request.speed,
        "digests": {"source": digest(request.source), "reference": reference.digest},
        "code": __version__,
    }
    write_json(folder.path / TASK_FILE, task)
    return PreparedTrial(folder, nodes, float(task["seconds"]), request.dry_run, placed.where, cell.drivers.hardware, str(task["note"]))


def load_prepared(folder: TrialFolder) -> PreparedTrial:
    """What ``prepare`` put into ``folder``.

    Raises:
        InputError: nothing, or it is damaged.
    """
    try:
        task = json.loads((folder.path / TASK_FILE).read_text(encoding="utf-8"))
        nodes, hardware = (tuple(str(n) for n in task[key]) for key in ("nodes", "hardware"))
        return PreparedTrial(folder, nodes, float(task["seconds"]), bool(task["dry_run"]), str(task["where"]), hardware, str(task["note"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder.path}: there is no prepared trial ({error}).", remedy="start it with `dextrack track` or the launch file.") from None


def load_request(folder: TrialFolder) -> TrialRequest:
    """What was asked for of the trial in ``folder``.

    Raises:
        InputError: nothing, or it is damaged or of an older version.
    """
    try:
        task = json.loads((folder.path / TASK_FILE).read_text(encoding="utf-8"))
        values = {f.name: task[f.name] for f in dataclasses.fields(TrialRequest)}
        at = None if values["at"] is None else (float(values["at"][0]), float(values["at"][1]), float(values["at"][2]))
        return TrialRequest(**{**values, "source": Path(values["source"]), "at": at})
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        what = f"{folder.path}: it does not say what was asked for ({type(error).__name__}: {error})."
        raise InputError(what, remedy="give a folder that this version's `dextrack track` wrote; runs/latest is the newest.") from None


def default_folder(source: str) -> Path:
    """A trial folder of its own under ``runs``, named after what is run and the time."""
    name = re.sub(r"[^\w-]+", "_", Path(source.rpartition(":")[2] or "trial").stem.partition("@")[0])
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _absolute(request: TrialRequest) -> TrialRequest:
    """``request`` with every path absolute: the trial may be done again from anywhere. As JSON has no paths, they are texts."""
    paths: dict[str, Any] = {name: str(Path(value).resolve()) if (value := getattr(request, name)) else "" for name in ("source", "object", "params")}
    return dataclasses.replace(request, cell=_cell(request.cell), **paths)


def _cell(name: str) -> str:
    return name if name in cell_names() else str(Path(name).resolve())


def _note(item: Reference | Demonstration, cell: CellConfig) -> str:
    """That the cell's motors were measured, and are not those that the demonstration was mined with; empty where they are, or were not measured."""
    if not (cell.hand.motors and isinstance(item, Demonstration)):
        return ""
    mined = item.hand_spec
    measured = load_motors(Path(cell.hand.motors)).fingers(mined).on(mined)
    joint = max(range(len(mined.effort)), key=lambda i: abs(mined.effort[i] / measured.effort[i] - 1.0))
    efforts = mined.effort[joint], measured.effort[joint]
    pairs = {"kp": (mined.finger_kp, measured.finger_kp), "kv": (mined.finger_kv, measured.finger_kv), "effort": efforts}
    apart = [f"{name} {a:.3g} for {b:.3g}" for name, (a, b) in pairs.items() if abs(a - b) > MOTORS_APART * b]
    if not apart:
        return ""
    again = f"mine it with `--motors {cell.hand.motors}`"
    return f"the demonstration was mined with other motors than the cell's were measured to be ({', '.join(apart)}); {again}"


def _check(reference: Reference, cell: CellConfig, request: TrialRequest) -> None:
    for hand, whose in ((cell.hand.model, f"cell {cell.name} carries"), (request.hand, "you asked for")):
        if reference.hand_name != hand:
            what = f"reference {reference.name} is for the hand {reference.hand_name}, and {whose} {hand}."
            raise RefusedError(what, remedy=f"retarget the recording to {hand}.")


def _save(placed: Reference | Demonstration, path: Path) -> Path:
    if isinstance(placed, Demonstration):
        store.save(path, placed)
    else:
        placed.save(path)
    return path


def _write_parameters(path: Path, request: TrialRequest, nodes: tuple[str, ...], placed: Path, obj: Path) -> None:
    """One section per node: the operator's own values, then the trial's. Paths are absolute: a node may have another working folder."""
    port = _free_port()
    devices = load_cell(request.cell).drivers
    common = {
        "cell": _cell(request.cell),
        "placed": str(placed.resolve()),
        "object": str(obj.resolve()),
        "trial": str(path.parent.resolve()),
        "dry_run": request.dry_run,
    }
    own = {n: {**_tuned(request.params).get(n, {})} for n in nodes}
    for device in _NODE_OF:
        driver, address = getattr(devices, device), getattr(devices, f"{device}_address")
        # What only this trial knows: the twin's link, and where its bus peers are.
        given = f"tcp://127.0.0.1:{port}" if driver == TWIN else wire.address(device, path.parent.resolve()) if address == PEER else address
        own[_NODE_OF[device]]["address"] = given
    own["supervisor"]["watched"] = ",".join(n for n in nodes if n != "supervisor")
    own["controller"]["mode"] = request.mode
    own["supervisor"]["speed"] = request.speed
    own["shadow_sim"] |= {name: value for name, value in (("backend", request.backend), ("address", request.backend_address)) if value}
    if "twin" in nodes:
        own["twin"] |= {"port": port, "seed": request.seed, "mismatch": "none" if request.zero_mismatch else "default"}
    sections = {name: {"ros__parameters": {**common, **values}} for name, values in own.items()}
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")


def _tuned(path: str) -> dict[str, dict[str, Any]]:
    """Node -> parameter -> value out of a parameter file; empty without one.

    Raises:
        InputError: no such file, no parameter file, or a node, parameter or value that the graph does not have.
    """
    if not path:
        return {}
    try:
        sections = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        values = {str(node): dict(section["ros__parameters"]) for node, section in sections.items()}
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: this is not a file of node parameters ({error}).", remedy="change a copy of config/params.yaml.") from None
    for node, chosen in values.items():
        known = {p.name: p for n in graph.NODES if n.name == node for p in n.parameters}
        for name, value in chosen.items():
            if name not in known:
                raise InputError(f"{path}: node {node} has no parameter {name}.", remedy=f"use one of: {', '.join(known) or 'none'}.")
            known[name].check(value)
    return values


def _free_port() -> int:
    """A TCP port of loopback that is free now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
