"""The files of the authors' release, read as their code reads them and put on a wrist built from their URDF's figures."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.demonstrations.export import export
from dextrack.errors import InputError
from tests.demonstrations import made

PERMUTATION = np.argsort([*range(10), *range(14, 22), *range(10, 14)])
"""With which their loader puts the columns of a reference into Isaac Gym's order (``joint_idxes_inversed_ordering``)."""
MOTORS = {"leap_right": [1, 0, 2, 3, 9, 8, 10, 11, 13, 12, 14, 15, 4, 5, 6, 7], "allegro_right": [0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 4, 5, 6, 7]}
"""With which their hardware node takes the LEAP's motors 0 to 15 from Isaac Gym's order; and, for the Allegro, from the names that their task prints."""
ROOT = {"leap_right": 'pos="0 0.038 0.098" euler="0 -1.57079 0"', "allegro_right": 'pos="0 0 0" euler="0 0 0"'}
"""Origin of the joint WRJ0x in leap_hand_right_fly_v5.urdf and allegro_hand_description_right_fly_v2.urdf."""
PREFIX = {"leap_right": "leap_passive_active_info_", "allegro_right": "passive_active_info_"}
HANDS = sorted(ROOT)


@pytest.fixture(params=HANDS)
def made_of(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Demonstration, dict, dict]:
    """(demonstration, its reference file, its result file), both as ``numpy.load`` gives them to the authors' code."""
    demonstration = made.demonstration(hand=request.param, seed=3)
    store.save(tmp_path / "d.h5", demonstration)
    export(tmp_path / "d.h5", "dextrack", tmp_path / "out")
    files = (
        tmp_path / "out" / "data" / f"{PREFIX[request.param]}cube_lift.npy",
        tmp_path / "out" / "tracking_cube_lift" / "ts_to_hand_obj_obs_reset_1_sorted_best.npy",
    )
    reference, result = (np.load(file, allow_pickle=True).item() for file in files)  # our own files, just written
    return demonstration, reference, result


def palm(hand: str, wrist: np.ndarray) -> tuple[np.ndarray, Rotation]:
    """Where MuJoCo puts the palm of the release's floating hand."""
    joints = [f'<joint type="{kind}" axis="{axis}"/>' for kind in ("slide", "hinge") for axis in ("1 0 0", "0 1 0", "0 0 1")]
    xml = f'<mujoco><compiler angle="radian"/><worldbody><body {ROOT[hand]}>{"".join(joints)}<geom size="0.1"/></body></worldbody></mujoco>'
    model = mujoco.MjModel.from_xml_string(xml)
    data = mujoco.MjData(model)
    positions, quaternions = [], []
    for q in wrist:
        data.qpos[:] = q
        mujoco.mj_forward(model, data)
        positions.append(data.xpos[1].copy())
        quaternions.append(data.xquat[1].copy())
    return np.array(positions), Rotation.from_quat(quaternions, scalar_first=True)


def assert_same_pose(hand: str, wrist: np.ndarray, theta: np.ndarray, base: np.ndarray) -> None:
    position, rotation = palm(hand, wrist.astype(float))
    expected = Rotation.from_quat(base, scalar_first=True) * Rotation.from_euler("XYZ", theta[:, 3:6])
    assert np.abs(position - theta[:, :3]).max() < 1e-6
    assert (rotation.inv() * expected).magnitude().max() < 2e-6


def test_keys_shapes_and_types_are_those_of_the_release(made_of) -> None:
    d, reference, result = made_of
    n = len(d.hand)
    assert {k: v.shape for k, v in reference.items()} == {"robot_delta_states_weights_np": (n, 22), "object_transl": (n, 3), "object_rot_quat": (n, 4)}
    assert {k: v.shape for k, v in result.items()} == {"optimized_hand_qs": (1, n, 22), "optimized_hand_qtars": (1, n, 22), "optimized_obj_pose": (1, n, 7)}
    assert all(v.dtype == np.float32 and v.flags.writeable and v.flags.c_contiguous for v in (*reference.values(), *result.values()))


def test_the_palm_is_where_ours_is(made_of) -> None:
    d, reference, result = made_of
    hand, base = d.reference.hand_name, d.reference.base_quaternion_w
    assert_same_pose(hand, reference["robot_delta_states_weights_np"][:, :6], d.reference.hand, base)
    assert_same_pose(hand, result["optimized_hand_qs"][0, :, :6], d.hand, base)
    assert_same_pose(hand, result["optimized_hand_qtars"][0, 1:, :6], d.targets, base)
    assert np.array_equal(result["optimized_hand_qtars"][0, 0], result["optimized_hand_qs"][0, 0])


def test_the_fingers_are_in_their_order(made_of) -> None:
    d, reference, result = made_of
    motors = MOTORS[d.reference.hand_name]
    for array, theta in ((reference["robot_delta_states_weights_np"][:, PERMUTATION], d.reference.hand), (result["optimized_hand_qs"][0], d.hand)):
        assert np.abs(array[:, 6:][:, motors] - theta[:, 6:]).max() < 1e-6
    assert np.abs(result["optimized_hand_qtars"][0, 1:, 6:][:, motors] - d.targets[:, 6:]).max() < 1e-6


def test_the_object_is_xyzw(made_of) -> None:
    d, reference, result = made_of
    pose = result["optimized_obj_pose"][0]
    for position, quaternion, source in ((pose[:, :3], pose[:, 3:], d), (reference["object_transl"], reference["object_rot_quat"], d.reference)):
        assert np.abs(position - source.object_position_w).max() < 1e-6
        expected = Rotation.from_quat(source.object_quaternion_w, scalar_first=True)
        assert (Rotation.from_quat(quaternion).inv() * expected).magnitude().max() < 2e-6


def test_a_numpy_from_before_2_can_read_it(tmp_path: Path) -> None:
    """numpy 1.24 of Python 3.8, which Isaac Gym asks for, has no ``numpy._core``."""
    store.save(tmp_path / "d.h5", made.demonstration())
    export(tmp_path / "d.h5", "dextrack", tmp_path / "out")
    files = list((tmp_path / "out").rglob("*.npy"))
    assert len(files) == 2
    for file in files:
        raw = file.read_bytes()
        assert b"numpy._core" not in raw and b"cnumpy.core.multiarray\n_reconstruct\n" in raw
        assert raw[:8] == b"\x93NUMPY\x01\x00" and raw[128:130] == b"\x80\x03"  # .npy 1.0, pickle protocol 3


def test_a_wrist_beyond_their_limits_is_told(tmp_path: Path) -> None:
    d = made.demonstration()
    d.reference.hand[:, 0] += 3.0
    store.save(tmp_path / "d.h5", d)
    entry = export(tmp_path / "d.h5", "dextrack", tmp_path / "out")["demonstrations"]["cube_lift@leap_right"]
    assert entry["beyond_their_limits"] == ["tz"]  # their third slide moves along the world's -x


def test_what_the_release_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.h5"
    store.save(path, made.demonstration("slow", period=0.05))
    store.save(path, made.demonstration("same"))
    store.save(path, made.demonstration("same", hand="allegro_right"))
    with pytest.raises(InputError, match="0.05 s"):
        export(path, "dextrack", tmp_path / "out", ["slow"])
    with pytest.raises(InputError, match="one hand at a time"):
        export(path, "dextrack", tmp_path / "out", ["same"])
    export(path, "dextrack", tmp_path / "out", ["same@leap_right"])
