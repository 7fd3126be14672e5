"""The verdict on trajectories whose judgement is plain."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.objects import lowest_z
from dextrack.tracking import metrics, verdict


def judge(reference, cube, position=None, **more):
    position = reference.object_position_w if position is None else position
    return verdict.judge(reference, cube, position, reference.object_quaternion_w, **more)


def test_an_object_left_on_the_table_fails_though_the_paper_calls_it_success(reference, cube):
    position = reference.object_position_w.copy()
    position[:, 2] = 0.02
    m = metrics.measure(reference, reference.hand, position, reference.object_quaternion_w)
    assert m.success_20 and m.t_err_m < 0.05
    v = judge(reference, cube, position)
    assert v.lifted.state == "failed" and v.held.state == "failed" and not v.lifts_and_holds


def test_a_perfect_run_passes_when_everything_was_measured(reference, cube):
    v = judge(reference, cube, penetration=np.zeros(120), replays=[True] * 7 + [False])
    assert v.passed and v.lifts_and_holds
    assert [v.lifted.state, v.held.state, v.clean.state, v.robust.state] == ["passed"] * 4
    d = json.loads(json.dumps(v.as_dict(), allow_nan=False))
    assert d["passed"] and d["lifted"]["state"] == "passed" and d["lifted"]["numbers"]["fraction"] == 1.0


def test_what_was_not_measured_has_not_passed(reference, cube):
    v = judge(reference, cube)
    assert v.lifts_and_holds and not v.passed
    assert v.clean.state == v.robust.state == "not measured"


def test_a_lagging_lift_is_a_lift_but_a_slow_one_is_not(reference, cube):
    """The same motion 5 frames (83 ms) late passes; 15 frames late it is on the table while the reference carries it."""
    for lag, state in ((5, "passed"), (15, "failed")):
        position = reference.object_position_w[np.maximum(np.arange(120) - lag, 0)]
        assert judge(reference, cube, position).lifted.state == state


def test_one_frame_on_the_table_in_the_middle_fails(reference, cube):
    position = reference.object_position_w.copy()
    position[65, 2] = 0.02
    v = judge(reference, cube, position)
    assert v.lifted.state == "failed" and v.lifted.numbers["frames_missed"] == 1.0 and "frame 65" in v.lifted.why
    assert v.held.state == "passed"  # one frame of many


def test_heights_are_those_of_the_lowest_point(reference, cube):
    """A cube at 4.5 cm has its face at 2.5 cm; turned onto a corner it hangs 1.5 cm lower than its face would."""
    position = reference.object_position_w.copy()
    position[:, 2] = 0.045
    corner = rotations.from_matrix(Rotation.align_vectors([[0, 0, 1]], [[1, 1, 1]])[0].as_matrix())
    flat = verdict.judge(reference, cube, position, reference.object_quaternion_w)
    tilted = verdict.judge(reference, cube, position, np.tile(corner, (120, 1)))
    assert flat.lifted.state == "passed" and tilted.lifted.state == "failed"
    assert tilted.lifted.numbers["peak_m"] == pytest.approx(0.045 - 0.02 * np.sqrt(3))


def test_a_reference_that_never_lifts_asks_for_no_lift(cube, make_reference):
    pushed = make_reference(np.full(50, 0.029))
    v = judge(pushed, cube, penetration=np.zeros(50), replays=[True] * 8)
    assert v.lifted.state == "not applicable" and "never lifts" in v.lifted.why
    assert v.held.state == "passed" and v.passed
    away = pushed.object_position_w + [0.06, 0.0, 0.0]
    assert judge(pushed, cube, away).held.state == "failed"


def test_held_counts_the_lifted_frames_and_the_last_of_them(reference, cube):
    up = np.flatnonzero(reference.object_position_w[:, 2] - 0.02 >= 0.03)

    def shifted(frames):
        position = reference.object_position_w.copy()
        position[frames, 1] += 0.051
        return judge(reference, cube, position).held

    assert shifted(np.setdiff1d(np.arange(120), up)).state == "passed"  # frames on the table are not asked for
    tenth = len(up) // 10
    assert shifted(up[:tenth]).state == "passed"
    assert shifted(up[: tenth + 1]).state == "failed"
    assert shifted(up[-1:]).state == "failed"


def test_held_to_the_end_of_a_sequence_that_ends_in_the_air(cube, make_reference):
    carried = make_reference(np.interp(np.arange(60), [0, 20, 40, 59], [0, 0, 0.1, 0.1]))
    dropped = carried.object_position_w.copy()
    dropped[-1, 2] = 0.02
    v = judge(carried, cube, dropped)
    assert v.held.state == "failed" and v.lifted.state == "failed"


@pytest.mark.parametrize(
    ("height", "looked"),
    [
        ([0.1] * 8, [True] * 8),  # in the air throughout: no edge
        ([0.0, 0.03, 0.1, 0.1, 0.1, 0.1, 0.0], [False, False, False, True, False, False, False]),  # two frames from each side
        ([0.0, 0.05, 0.09, 0.05, 0.0], [False, False, True, False, False]),  # short: the peak stays
        ([0.0, 0.1, 0.1, 0.1, 0.1], [False, False, False, True, True]),  # ends in the air
        ([0.0, 0.029, 0.0], [False] * 3),
    ],
)
def test_the_frames_looked_at(height, looked):
    assert verdict.looked_at(np.array(height), edge_frames=2).tolist() == looked


def test_an_edge_is_never_wide_enough_to_hide_a_lift():
    """Whatever the reference, each stretch in the air is looked at somewhere."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        height = np.repeat(rng.uniform(0.0, 0.06, 30), rng.integers(1, 6, 30))
        up = height >= verdict.REFERENCE_LIFT
        looked = verdict.looked_at(height, 6)
        assert not (looked & ~up).any()
        stretches = np.split(np.arange(len(up)), np.flatnonzero(np.diff(up.astype(int))) + 1)
        assert all(looked[s].any() for s in stretches if up[s[0]])


def test_clean_takes_the_95th_percentile_and_the_first_frame():
    deep = np.zeros(100)
    deep[50:54] = 0.02
    assert verdict.judge_clean(deep).state == "passed"
    deep[50:60] = 0.0051
    assert verdict.judge_clean(deep).state == "failed"
    first = np.zeros(100)
    first[0] = 0.001
    assert verdict.judge_clean(first).state == "failed"
    for bad in (-deep, np.full(100, np.nan), np.zeros((2, 3))):
        with pytest.raises(InputError, match="penetration"):
            verdict.judge_clean(bad)


@pytest.mark.parametrize(
    ("survived", "of", "state"), [(8, 8, "passed"), (7, 8, "passed"), (6, 8, "failed"), (3, 4, "failed"), (4, 4, "passed"), (14, 16, "passed")]
)
def test_robust_asks_for_seven_of_eight(survived, of, state):
    part = verdict.judge_robust([True] * survived + [False] * (of - survived))
    assert part.state == state and part.numbers["survived"] == survived


def test_hull_vertices_give_the_same_heights_as_all_vertices():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(500, 3)) * 0.03
    hull = verdict.hull_vertices(points)
    assert len(hull) < 200
    q, p = rotations.normalise(rng.normal(size=(20, 4))), rng.normal(size=(20, 3))
    expected = [(Rotation.from_quat(a, scalar_first=True).apply(points)[:, 2] + b[2]).min() for a, b in zip(q, p, strict=True)]
    np.testing.assert_allclose(lowest_z(hull, p, q), expected, atol=1e-12)
    square = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype=float)
    np.testing.assert_array_equal(verdict.hull_vertices(square), square)
