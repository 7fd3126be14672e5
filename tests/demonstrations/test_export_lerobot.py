"""A LeRobotDataset, read back with pyarrow against the published layout of v3.0 (lerobot 0.4.4, datasets/utils.py and datasets/lerobot_dataset.py)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dextrack.demonstrations import export_lerobot, store
from dextrack.demonstrations.export import export
from dextrack.errors import InputError
from tests.demonstrations import made

INFO = {
    "codebase_version", "robot_type", "total_episodes", "total_frames", "total_tasks", "chunks_size", "data_files_size_in_mb", "video_files_size_in_mb", "fps",
    "splits", "data_path", "video_path", "features",
}  # fmt: skip
"""Keys that ``create_empty_dataset_info`` makes; newer readers warn of others."""
DEFAULTS = {"timestamp": "float32", "frame_index": "int64", "episode_index": "int64", "index": "int64", "task_index": "int64"}
STATISTICS = {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "d.h5"
    for i, frames in enumerate((40, 25, 60)):
        store.save(path, made.demonstration(f"{'abc'[i]}_lift", seed=i, frames=frames, passed=i != 1))
    return path


@pytest.fixture
def root(path: Path, tmp_path: Path) -> Path:
    export(path, "lerobot", tmp_path / "out")
    return tmp_path / "out"


def read(root: Path) -> tuple[dict, pa.Table, pa.Table]:
    """(info, frames, episodes), found as LeRobot finds them."""
    info = json.loads((root / "meta/info.json").read_text())
    tables = [pa.concat_tables(pq.read_table(f) for f in sorted((root / folder).glob("*/*.parquet"))) for folder in ("data", "meta/episodes")]
    return info, tables[0], tables[1]


def values(table: pa.Table, key: str) -> np.ndarray:
    return np.array(table[key].to_pylist())


def test_info_and_columns_are_those_of_v3(root: Path) -> None:
    info, frames, episodes = read(root)
    assert set(info) == INFO
    assert (info["codebase_version"], info["fps"], info["robot_type"], info["video_path"]) == ("v3.0", 60, "leap_right", None)
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"], info["splits"]) == (3, 39 + 24 + 59, 3, {"train": "0:3"})
    assert info["data_path"] == "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    assert frames.column_names == list(info["features"])
    for key, feature in info["features"].items():
        single = pa.from_numpy_dtype(feature["dtype"])
        assert "/" not in key
        assert frames.schema.field(key).type == (single if feature["shape"] == [1] else pa.list_(single, feature["shape"][0])), key
        assert feature["names"] is None or len(feature["names"]) == len(set(feature["names"])) == feature["shape"][0]
    assert {k: info["features"][k]["dtype"] for k in DEFAULTS} == DEFAULTS
    wanted = {"episode_index", "tasks", "length", "data/chunk_index", "data/file_index", "dataset_from_index", "dataset_to_index"}
    wanted |= {"meta/episodes/chunk_index", "meta/episodes/file_index"} | {f"stats/{k}/{s}" for k in info["features"] for s in STATISTICS}
    assert {c for c in episodes.column_names if not c.startswith("dextrack/")} == wanted


def test_every_value_comes_back(path: Path, root: Path) -> None:
    info, frames, episodes = read(root)
    assert values(frames, "index").tolist() == list(range(122))
    for row in episodes.to_pylist():
        d = store.load(path, row["dextrack/name"])
        n = len(d.targets)
        part = frames.slice(row["dataset_from_index"], row["length"])
        assert (row["length"], row["dataset_to_index"] - row["dataset_from_index"]) == (n, n)
        assert set(part["episode_index"].to_pylist()) == {row["episode_index"]}
        assert part["frame_index"].to_pylist() == list(range(n))
        assert np.abs(np.diff(values(part, "timestamp")) - 1 / 60).max() < 1e-4  # LeRobot's tolerance
        for key, source in (("observation.state", "hand"), ("action", "targets"), ("reference.state", "reference")):
            names = info["features"][key]["names"]
            array = d.reference.hand if source == "reference" else getattr(d, source)
            for i, joint in enumerate(d.reference.joint_names):
                assert np.abs(values(part, key)[:, names.index(f"{joint}.pos")] - array[:n, i]).max() < 1e-6
                if key == "observation.state":
                    assert np.abs(values(part, key)[:, names.index(f"{joint}.vel")] - d.hand_velocity[:n, i]).max() < 1e-6
        for key, source in (("observation.environment_state", d), ("reference.environment_state", d.reference)):
            pose = dict(zip(info["features"][key]["names"], values(part, key).T, strict=True))
            assert np.abs(np.stack([pose[k] for k in ("x", "y", "z")], axis=1) - source.object_position_w[:n]).max() < 1e-6
            assert np.abs(np.stack([pose[k] for k in ("qw", "qx", "qy", "qz")], axis=1) - source.object_quaternion_w[:n]).max() < 1e-6
        assert np.abs(values(part, "reference.base_quaternion_w") - d.reference.base_quaternion_w).max() < 1e-6
        passed = d.verdict["passed"]
        assert part["next.done"].to_pylist() == [False] * (n - 1) + [True]
        assert part["next.success"].to_pylist() == [False] * (n - 1) + [passed]
        assert np.array_equal(row["dextrack/last_state"], np.concatenate([d.hand[-1], d.hand_velocity[-1]]))
        assert np.array_equal(row["dextrack/last_environment_state"], np.concatenate([d.object_position_w[-1], d.object_quaternion_w[-1]]))
        assert row["dextrack/passed"] is passed
        assert json.loads(row["dextrack/verdict"]) == d.verdict and json.loads(row["dextrack/metrics"]) == d.metrics
        assert json.loads(row["dextrack/provenance"]) == d.provenance
        reference = json.loads(row["dextrack/reference"])
        assert reference["digest"] == d.reference.digest and reference["provenance"]["licence"] == "none asked"


def test_tasks_are_the_index_that_pandas_restores(root: Path) -> None:
    _, frames, episodes = read(root)
    table = pq.read_table(root / "meta/tasks.parquet")
    assert table.schema.pandas_metadata["index_columns"] == ["task"]
    assert {c["field_name"] for c in table.schema.pandas_metadata["columns"]} == set(table.column_names) == {"task", "task_index"}
    texts = table["task"].to_pylist()
    assert table["task_index"].to_pylist() == list(range(len(texts)))  # LeRobot takes the n-th row for task n
    for row in episodes.to_pylist():
        assert row["tasks"] == [texts[i] for i in set(frames.slice(row["dataset_from_index"], row["length"])["task_index"].to_pylist())]


def test_statistics_are_those_of_the_frames(root: Path) -> None:
    info, frames, episodes = read(root)
    stats = json.loads((root / "meta/stats.json").read_text())
    assert set(stats) == set(info["features"])
    for key, found in stats.items():
        x = values(frames, key).reshape(122, -1).astype(float)
        assert set(found) == STATISTICS and found["count"] == [122]
        truth = {"min": x.min(axis=0), "max": x.max(axis=0), "mean": x.mean(axis=0), "std": x.std(axis=0)}
        for name, expected in truth.items():
            assert np.shape(found[name]) == expected.shape
            assert np.allclose(np.array(found[name], dtype=float), expected, rtol=1e-6, atol=1e-9), (key, name)
        assert (np.array(found["q10"]) <= np.array(found["q50"])).all() and (np.array(found["q50"]) <= np.array(found["q90"])).all()
        row = episodes.slice(1, 1).to_pylist()[0]
        part = x[row["dataset_from_index"] : row["dataset_to_index"]]
        assert np.allclose(row[f"stats/{key}/q50"], np.median(part, axis=0)) and row[f"stats/{key}/count"] == [24]


def test_large_datasets_roll_over_into_files_and_chunks(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_lerobot, "FILE_MB", 1e-5)
    monkeypatch.setattr(export_lerobot, "FILES_PER_CHUNK", 2)
    export(path, "lerobot", tmp_path / "out")
    root = tmp_path / "out"
    _, frames, episodes = read(root)
    assert (frames.num_rows, episodes.num_rows) == (122, 3)
    for folder, key in (("data", "data"), ("meta/episodes", "meta/episodes")):
        assert sorted(str(p.relative_to(root / folder)) for p in (root / folder).rglob("*.parquet")) == [
            "chunk-000/file-000.parquet", "chunk-000/file-001.parquet", "chunk-001/file-000.parquet",
        ]  # fmt: skip
        for row in episodes.to_pylist():
            file = root / folder / f"chunk-{row[f'{key}/chunk_index']:03d}/file-{row[f'{key}/file_index']:03d}.parquet"
            assert set(pq.read_table(file)["episode_index"].to_pylist()) == {row["episode_index"]}


def test_what_a_dataset_cannot_hold_is_refused(path: Path, tmp_path: Path) -> None:
    store.save(path, made.demonstration("d_lift", hand="allegro_right"))
    with pytest.raises(InputError, match="d_lift@allegro_right.*leap_right.*--names"):
        export(path, "lerobot", tmp_path / "out")
    export(path, "lerobot", tmp_path / "out", ["d_lift"])
    assert "joint_12.0.pos" in read(tmp_path / "out")[0]["features"]["action"]["names"]
    other = tmp_path / "other.h5"
    store.save(other, made.demonstration(period=0.0123))
    with pytest.raises(InputError, match="whole number"):
        export(other, "lerobot", tmp_path / "odd")
    store.save(path, made.demonstration("e_lift", period=0.02))
    with pytest.raises(InputError, match="0.02 s"):
        export(path, "lerobot", tmp_path / "odd", ["a_lift", "e_lift"])
    assert not (tmp_path / "odd").exists()
