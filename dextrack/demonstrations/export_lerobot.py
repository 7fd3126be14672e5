"""Export to LeRobotDataset v3.0, the format of Hugging Face's LeRobot (from 0.4 on). One demonstration is one episode.

Frame n of N pairs state n with target n, which leads to state n + 1; the state after the last target is kept per episode. World frame, SI units, float32.

``observation.state`` (44)              theta (``<joint>.pos``), then its velocity (``<joint>.vel``)
``observation.environment_state`` (7)   the object's pose, quaternion **wxyz**
``action`` (22)                         position targets of the PD controllers (``<joint>.pos``)
``reference.state`` (22)                theta of the reference at n: a tracking policy's goal
``reference.environment_state`` (7)     the object's pose in the reference at n
``reference.base_quaternion_w`` (4)     the wrist's rotation is this * Rx(rx) Ry(ry) Rz(rz); it differs between episodes
``next.done``, ``next.success`` (1)     true in the last frame only; success where the verdict passed

The table of episodes has a column ``dextrack/<field>`` for each of name, object, passed, verdict, metrics, provenance, reference (JSON texts), and for
the last state: ``last_state`` (44), ``last_environment_state`` (7).

Source: lerobot 0.4.4, datasets/{utils,lerobot_dataset,compute_stats}.py, and docs/source/porting_datasets_v3.mdx.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.files import write_json

VERSION = "v3.0"
FILES_PER_CHUNK = 1000
FILE_MB = 100
"""Largest size of a parquet file in memory, as LeRobot's own writer has it."""
ROWS = 100
"""Episodes that are written at once."""
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
POSE = ("x", "y", "z", "qw", "qx", "qy", "qz")
COUNTERS = {"timestamp": "float32", "frame_index": "int64", "episode_index": "int64", "index": "int64", "task_index": "int64"}

Column = NDArray[Any]
Statistics = dict[str, dict[str, Column]]


def write(demonstrations: Iterator[tuple[str, Demonstration]], folder: Path) -> dict[str, dict[str, Any]]:
    """Write the dataset; see ``export.Format``.

    Raises:
        InputError: the demonstrations differ in hand or period, or the period is no whole number of frames per second.
    """
    data, episodes = _Rolling(folder, DATA, rows=1), _Rolling(folder, EPISODES, rows=ROWS)
    details: dict[str, dict[str, Any]] = {}
    tasks: dict[str, int] = {}
    parts: list[Statistics] = []
    first: Demonstration | None = None
    frames = 0
    for index, (name, demonstration) in enumerate(demonstrations):
        first = first or demonstration
        _require_alike(name, demonstration, first)
        task = f"Move the {demonstration.reference.object_name} as in {demonstration.reference.name}."
        columns = _columns(demonstration) | _counters(demonstration, index, frames, tasks.setdefault(task, len(tasks)))
        parts.append(_statistics(columns))
        table = pa.table({key: _arrow(values) for key, values in columns.items()})
        placed = data.place(table.nbytes)
        data.write(table)
        row = {"episode_index": index, "tasks": [task], "length": table.num_rows, "data/chunk_index": placed[0], "data/file_index": placed[1]}
        row |= {"dataset_from_index": frames, "dataset_to_index": frames + table.num_rows, **_extras(name, demonstration)}
        row |= {f"stats/{key}/{k}": v.tolist() for key, values in parts[-1].items() for k, v in values.items()}
        size = pa.Table.from_pylist([row]).nbytes
        chunk, file = episodes.place(size)
        episodes.write(pa.Table.from_pylist([row | {"meta/episodes/chunk_index": chunk, "meta/episodes/file_index": file}]))
        frames += table.num_rows
        details[name] = {"episode_index": index}
    data.close()
    episodes.close()
    if first is None:
        raise InputError("export: there are no demonstrations.", remedy="choose at least one.")
    _write_tasks(folder, tasks)
    write_json(folder / "meta/stats.json", {key: {k: v.tolist() for k, v in values.items()} for key, values in _aggregate(parts).items()})
    write_json(folder / "meta/info.json", _info(first, len(details), frames, len(tasks)))
    return details


def _require_alike(name: str, demonstration: Demonstration, first: Demonstration) -> None:
    r, r0 = demonstration.reference, first.reference
    if abs(_fps(r.period) * r.period - 1.0) > 1e-6:
        raise InputError(f"demonstration {name}: {1 / r.period:g} frames per second is no whole number.", remedy="export others with --names.")
    if (r.hand_name, r.joint_names) != (r0.hand_name, r0.joint_names) or abs(r.period - r0.period) > 1e-9:
        why = f"demonstration {name}: it is of {r.hand_name} at {r.period:g} s, and {r0.name} of {r0.hand_name} at {r0.period:g} s; a dataset has one of each."
        raise InputError(why, remedy="export them one hand at a time with --names.")


def _fps(period: float) -> int:
    return round(1.0 / period)


def _columns(d: Demonstration) -> dict[str, Column]:
    """The features (N, k) or (N,) of one episode; the module's docstring says which."""
    r, n = d.reference, len(d.targets)
    last = np.arange(n) == n - 1
    columns: dict[str, Any] = {
        "observation.state": np.concatenate([d.hand, d.hand_velocity], axis=1)[:n],
        "observation.environment_state": np.concatenate([d.object_position_w, d.object_quaternion_w], axis=1)[:n],
        "action": d.targets,
        "reference.state": r.hand[:n],
        "reference.environment_state": np.concatenate([r.object_position_w, r.object_quaternion_w], axis=1)[:n],
        "reference.base_quaternion_w": np.tile(r.base_quaternion_w, (n, 1)),
    }
    return {key: values.astype(np.float32) for key, values in columns.items()} | {"next.done": last, "next.success": last & _passed(d)}


def _counters(d: Demonstration, episode: int, begin: int, task: int) -> dict[str, Column]:
    n = np.arange(len(d.targets))
    values = {"timestamp": n / _fps(d.reference.period), "frame_index": n, "episode_index": 0 * n + episode, "index": n + begin, "task_index": 0 * n + task}
    return {key: values[key].astype(dtype) for key, dtype in COUNTERS.items()}


def _passed(d: Demonstration) -> bool:
    return d.verdict.get("passed") is True


def _extras(name: str, d: Demonstration) -> dict[str, Any]:
    """What the table of episodes says of a demonstration beyond LeRobot's own columns."""
    r = d.reference
    reference = {"name": r.name, "digest": r.digest, "time_scale": r.time_scale, "diagnosis": r.diagnosis, "provenance": r.provenance}
    texts = {"verdict": d.verdict, "metrics": d.metrics, "provenance": d.provenance, "reference": reference}
    extras = {"name": name, "object": r.object_name, "passed": _passed(d), **{k: json.dumps(v, sort_keys=True) for k, v in texts.items()}}
    extras["last_state"] = np.concatenate([d.hand[-1], d.hand_velocity[-1]]).tolist()
    extras["last_environment_state"] = np.concatenate([d.object_position_w[-1], d.object_quaternion_w[-1]]).tolist()
    return {f"dextrack/{key}": value for key, value in extras.items()}


def _arrow(values: Column) -> Any:
    """An arrow array of (N,) or, as lists of fixed length, of (N, k)."""
    flat = pa.array(values.ravel())
    return flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _statistics(columns: dict[str, Column]) -> Statistics:
    """Statistics over one episode's frames, each of shape (k,)."""
    found = {}
    for key, values in columns.items():
        table = values.reshape(len(values), -1)
        numbers = table.astype(np.float64)
        found[key] = {
            "min": table.min(axis=0),
            "max": table.max(axis=0),
            "mean": numbers.mean(axis=0),
            "std": numbers.std(axis=0),
            "count": np.array([len(table)]),
        }
        found[key] |= {name: np.quantile(numbers, q, axis=0) for name, q in QUANTILES.items()}
    return found


def _aggregate(parts: list[Statistics]) -> Statistics:
    """Statistics over all frames from those of the episodes; quantiles, as LeRobot has them, are the episodes' averaged by their lengths."""
    whole: Statistics = {}
    for key in parts[0]:
        s = {name: np.stack([part[key][name] for part in parts]) for name in parts[0][key]}
        weights = s["count"] / s["count"].sum()
        mean = (weights * s["mean"]).sum(axis=0)
        variance = (weights * (s["std"] ** 2 + (s["mean"] - mean) ** 2)).sum(axis=0)
        whole[key] = {"min": s["min"].min(axis=0), "max": s["max"].max(axis=0), "mean": mean, "std": np.sqrt(variance), "count": s["count"].sum(axis=0)}
        whole[key] |= {name: (weights * s[name]).sum(axis=0) for name in QUANTILES}
    return whole


def _write_tasks(folder: Path, tasks: dict[str, int]) -> None:
    """Write the tasks as pandas writes a frame whose index is the text: LeRobot takes it from the index."""
    index = {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    number = {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64", "metadata": None}
    pandas = {"index_columns": ["task"], "column_indexes": [], "columns": [number, index]}
    table = pa.table({"task_index": pa.array(list(tasks.values()), pa.int64()), "task": pa.array(list(tasks), pa.string())})
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), folder / "meta/tasks.parquet")


def _info(d: Demonstration, episodes: int, frames: int, tasks: int) -> dict[str, Any]:
    joints = d.reference.joint_names
    positions, velocities = [f"{joint}.pos" for joint in joints], [f"{joint}.vel" for joint in joints]
    names = {
        "observation.state": positions + velocities,
        "observation.environment_state": list(POSE),
        "action": positions,
        "reference.state": positions,
        "reference.environment_state": list(POSE),
        "reference.base_quaternion_w": list(POSE[3:]),
    }
    features = {key: {"dtype": "float32", "shape": [len(n)], "names": n} for key, n in names.items()}
    single = {"next.done": "bool", "next.success": "bool", **COUNTERS}
    return {
        "codebase_version": VERSION,
        "robot_type": d.reference.hand_name,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": FILES_PER_CHUNK,
        "data_files_size_in_mb": FILE_MB,
        "video_files_size_in_mb": 200,
        "fps": _fps(d.reference.period),
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA,
        "video_path": None,
        "features": features | {key: {"dtype": dtype, "shape": [1], "names": None} for key, dtype in single.items()},
    }


class _Rolling:
    """Tables of one kind in a row of parquet files, none larger than ``FILE_MB``."""

    def __init__(self, folder: Path, pattern: str, rows: int) -> None:
        """``rows`` tables are gathered and written as one row group."""
        self._folder, self._pattern, self._rows = folder, pattern, rows
        self._number, self._size = 0, 0
        self._tables: list[Any] = []
        self._writer: Any = None

    def place(self, size: int) -> tuple[int, int]:
        """(chunk, file) that the next table goes to, which is ``size`` bytes large."""
        if self._size and self._size + size > FILE_MB * 2**20:
            self.close()
            self._number, self._size = self._number + 1, 0
        self._size += size
        return divmod(self._number, FILES_PER_CHUNK)

    def write(self, table: Any) -> None:
        """Append ``table``."""
        self._tables.append(table)
        if len(self._tables) >= self._rows:
            self._flush()

    def close(self) -> None:
        """Finish the file that is open."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _flush(self) -> None:
        if not self._tables:
            return
        table = pa.concat_tables(self._tables)
        self._tables = []
        if self._writer is None:
            chunk, file = divmod(self._number, FILES_PER_CHUNK)
            path = self._folder / self._pattern.format(chunk_index=chunk, file_index=file)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(path, table.schema, compression="snappy")
        self._writer.write_table(table)
