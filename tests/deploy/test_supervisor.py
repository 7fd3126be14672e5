"""The supervisor against its rules, in every state and for every event."""

from __future__ import annotations

import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from dextrack_deploy.faults import Fault
from dextrack_deploy.status import MOVING, Reaction, State
from dextrack_deploy.supervisor import OPERATOR, TRANSITIONS, Event, Supervisor
from dextrack_deploy.watch_limits import WatchLimits
from dextrack_deploy.watches import Measurements, Watcher

from dextrack.errors import InputError

ARM = tuple(f"fr3_joint{i}" for i in range(1, 8))
HAND = ("tx", "ty", "tz", "rx", "ry", "rz") + tuple(str(i) for i in range(16))
NODES = ("controller", "hand_driver")

# The allowed moves, written down again by hand from DESIGN.md: the table in the module is judged by this one.
ALLOWED = {
    "UNCONFIGURED configure": "IDLE",
    "IDLE approach": "APPROACH", "IDLE hold": "IDLE", "IDLE cleanup": "UNCONFIGURED",
    "APPROACH arrived": "READY", "APPROACH hold": "HOLD",
    "READY run": "RUN", "READY hold": "HOLD",
    "RUN finished": "HOLD", "RUN hold": "HOLD", "RUN pause": "RUN", "RUN resume": "RUN",
    "HOLD retreat": "RETREAT", "HOLD hold": "HOLD", "HOLD cleanup": "UNCONFIGURED",
    "RETREAT home": "IDLE", "RETREAT hold": "HOLD",
    "FAULT reset": "HOLD", "FAULT hold": "FAULT", "FAULT cleanup": "UNCONFIGURED",
    "IDLE estop": "FAULT", "APPROACH estop": "FAULT", "READY estop": "FAULT", "RUN estop": "FAULT", "HOLD estop": "FAULT", "RETREAT estop": "FAULT",
    "FAULT estop": "FAULT",
}  # fmt: skip

WAY_TO = {
    State.UNCONFIGURED: (),
    State.IDLE: (Event.CONFIGURE,),
    State.APPROACH: (Event.CONFIGURE, Event.APPROACH),
    State.READY: (Event.CONFIGURE, Event.APPROACH, Event.ARRIVED),
    State.RUN: (Event.CONFIGURE, Event.APPROACH, Event.ARRIVED, Event.RUN),
    State.HOLD: (Event.CONFIGURE, Event.APPROACH, Event.HOLD),
    State.RETREAT: (Event.CONFIGURE, Event.APPROACH, Event.HOLD, Event.RETREAT),
}


def limits() -> WatchLimits:
    arm, hand = (np.full(7, -2.5), np.full(7, 2.5), np.full(7, 2.0)), (np.full(22, -2.0), np.full(22, 2.0), np.full(22, 3.0))
    return WatchLimits(*arm, *hand, nodes=NODES, estop=True, current_for_s=1.0)


def stamps(hand: float = 0.0, arm: float = 0.0, seen: float = 0.0, operator: float = 0.0, estop: float = 0.0, followed: float = 0.0) -> dict[str, float]:
    streams = {"hand/joint_states": hand, "arm/joint_states": arm, "object_pose": seen, "shadow/joint_states": followed}
    return {**streams, "operator/enable": operator, "estop": estop}


def good(now: float, **changes: object) -> Measurements:
    """Measurements with which nothing is wrong at ``now``, but for ``changes``."""
    values: dict = {
        "stamps": stamps(now - 0.01, now - 0.01, now - 0.03, now - 0.2, now - 0.1, now - 0.02),
        "estop": False,
        "heard": {n: now - 0.05 for n in NODES},
        "theta": np.array([0.1, 0.0, 0.3] + [0.0] * 19),
        "theta_dot": np.zeros(22),
        "shadow": np.array([0.1, 0.0, 0.3] + [0.0] * 19),
        "arm_q": np.full(7, 1e-9 * now),  # encoders flicker
        "arm_dq": np.zeros(7),
        "arm_target": np.zeros(7),
        "object_position_w": np.array([0.0, 0.0, 0.05]),
        "current": np.full(16, 0.1),
        "temperature": np.full(16, 40.0),
        "voltage": np.full(16, 5.0),
        "disk_free_mb": 1e4,
    }
    return Measurements(**{**values, **{k: v(now) if callable(v) else v for k, v in changes.items()}})


def supervisor(state: State) -> Supervisor:
    s = Supervisor(Watcher(limits(), HAND, ARM))
    if state is State.FAULT:
        s = supervisor(State.RUN)
        s.observe(good(0.0, temperature=np.full(16, 90.0)), 0.0)
        s.observe(good(0.0), 0.0)
    else:
        for event in WAY_TO[state]:
            s.observe(good(0.0), 0.0)
            assert s.request(event, 0.0).accepted
        s.observe(good(0.0), 0.0)
    assert s.state is state
    return s


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_event_in_every_state(state: State, event: Event) -> None:
    s = supervisor(state)
    n = len(s.transitions)
    decision = s.request(event, 0.0)
    expected = ALLOWED.get(f"{state.value} {event.value}")
    assert decision.accepted == (expected is not None)
    assert s.state is decision.state is (State(expected) if expected else state)
    # Pause and resume change the pace of a run, and are told as changes of state are.
    told = expected is not None and (State(expected) is not state or event in (Event.PAUSE, Event.RESUME))
    assert len(s.transitions) == n + told
    assert decision.reason
    if not decision.accepted:
        assert event.value in decision.reason and state.value in decision.reason


def test_the_table_has_no_entry_that_the_rules_lack() -> None:
    assert {f"{s.value} {e.value}": t.value for (s, e), t in TRANSITIONS.items()} == ALLOWED


def test_only_the_operator_begins_a_motion_or_leaves_hold_and_fault() -> None:
    for (before, event), after in TRANSITIONS.items():
        if after is not before and (after in MOVING or before in (State.HOLD, State.FAULT)):
            assert event in OPERATOR


def test_the_whole_story_in_order() -> None:
    s = Supervisor(Watcher(limits(), HAND, ARM))
    for event in (Event.CONFIGURE, Event.APPROACH, Event.ARRIVED, Event.RUN, Event.FINISHED, Event.RETREAT, Event.HOME):
        s.observe(good(1.0), 1.0)
        assert s.request(event, 1.0).accepted
    names = [t.after.value for t in s.transitions]
    assert names == ["IDLE", "APPROACH", "READY", "RUN", "HOLD", "RETREAT", "IDLE"]


VIOLATIONS = {
    Fault.STALE_SENSOR: {"stamps": stamps(hand=-0.3)},
    Fault.DEAD_NODE: {"heard": {"controller": 0.0, "hand_driver": -0.7}},
    Fault.OVERRUN: {"overruns": 9},
    Fault.JOINT_LIMIT: {"arm_q": np.array([0, 0, 0, -2.6, 0, 0, 0.0])},
    Fault.WORKSPACE: {"theta": np.array([0.9, 0.0, 0.3] + [0.0] * 19), "shadow": np.array([0.9, 0.0, 0.3] + [0.0] * 19)},
    Fault.TEMPERATURE: {"temperature": np.full(16, 70.0)},
    Fault.OVERLOAD: {"overload": "motor 5: overload", "errors": {"hand_driver": "motor 5: overload"}},
    Fault.OBJECT_LOST: {"stamps": stamps(seen=-0.5)},
    Fault.OBJECT_JUMP: {"object_position_w": np.array([0.3, 0.0, 0.05]), "stamps": stamps()},
    Fault.TRIAL_LOG: {"disk_free_mb": 3.0},
    Fault.NOT_FINITE: {"theta": np.full(22, np.nan)},
    Fault.DRIVER: {"errors": {"arm_driver": "reflex"}},
    Fault.NODE: {"errors": {"velocity": "a joint is missing"}},
    Fault.OPERATOR: {"stamps": stamps(operator=-1.1)},
    Fault.ESTOP: {"estop": True},
}
LASTING = {
    Fault.TRACKING: {"shadow": np.array([0.3, 0.0, 0.3] + [0.0] * 19)},
    Fault.VELOCITY: {"theta_dot": np.full(22, 9.0)},
    Fault.CURRENT: {"current": np.full(16, -0.9)},
    Fault.STALE_COMMAND: {"stamps": lambda now: stamps(now, now, now, now, now, now - 0.2)},
    Fault.VOLTAGE: {"voltage": np.array([5.0] * 15 + [3.8])},
}
FATAL = {f: Reaction.STOP_ARM for f in (Fault.NOT_FINITE, Fault.DRIVER, Fault.ESTOP)} | {f: Reaction.DROP_TORQUE for f in (Fault.TEMPERATURE, Fault.OVERLOAD)}


def test_every_fault_is_provoked_below() -> None:
    assert VIOLATIONS.keys() | LASTING.keys() == set(Fault)


@pytest.mark.parametrize("fault", VIOLATIONS)
def test_a_violation_stops_a_run(fault: Fault) -> None:
    s = supervisor(State.RUN)
    reasons = s.observe(good(0.0, **VIOLATIONS[fault]), 0.0)
    # An overloaded motor is an error of its driver too, and the stronger reaction counts.
    assert {r.fault for r in reasons} - ({Fault.DRIVER} if fault is Fault.OVERLOAD else set()) == {fault}
    assert s.state is (State.FAULT if fault in FATAL else State.HOLD)
    assert fault.value in s.status.reason
    assert s.status.reaction is FATAL.get(fault, Reaction.STOP_ARM if fault is Fault.JOINT_LIMIT else Reaction.HOLD)
    assert not s.status.may_move


@pytest.mark.parametrize("fault", LASTING)
def test_a_violation_that_must_last_stops_a_run_only_when_it_lasts(fault: Fault) -> None:
    s = supervisor(State.RUN)
    for now in np.arange(0.0, 0.05, 1 / 60):
        assert s.observe(good(now, **LASTING[fault]), now) == []
    s.observe(good(0.07), 0.07)
    begin = 0.1
    for now in np.arange(begin, 3.0, 1 / 60):
        if s.observe(good(now, **LASTING[fault]), now):
            break
    w = limits()
    expected = {
        Fault.TRACKING: w.tracking_for_s,
        Fault.VELOCITY: w.velocity_for_s,
        Fault.CURRENT: w.current_for_s,
        Fault.VOLTAGE: w.voltage_for_s,
        Fault.STALE_COMMAND: w.followed_s[1],
    }[fault]
    assert now - begin == pytest.approx(expected, abs=0.02), "the interruption started the count again"
    assert s.state is State.HOLD and fault.value in s.status.reason


@pytest.mark.parametrize("fault", list(VIOLATIONS))
@pytest.mark.parametrize("state", [s for s in State if s not in MOVING])
def test_a_violation_never_moves_a_still_cell(state: State, fault: Fault) -> None:
    s = supervisor(state)
    s.observe(good(0.0, **VIOLATIONS[fault]), 0.0)
    assert s.state is (State.FAULT if fault in FATAL and state is not State.UNCONFIGURED else state)


def test_retreat_needs_no_object_and_no_disk() -> None:
    s = supervisor(State.HOLD)
    lost = {"stamps": {k: v for k, v in stamps().items() if k != "object_pose"}, "disk_free_mb": 0.0}
    s.observe(good(0.0, **lost), 0.0)
    assert s.request(Event.RETREAT, 0.0).accepted
    assert s.observe(good(0.0, **lost), 0.0) == []
    assert s.state is State.RETREAT


@pytest.mark.parametrize(
    ("node", "fault"), [("hand_driver", Fault.DRIVER), ("recorder", Fault.TRIAL_LOG), ("object_pose", Fault.OBJECT_LOST), ("shadow_sim", Fault.NODE)]
)
def test_a_nodes_error_counts_as_what_the_node_does(node: str, fault: Fault) -> None:
    s = supervisor(State.RUN)
    assert [r.fault for r in s.observe(good(0.0, errors={node: "broken", "velocity": ""}), 0.0)] == [fault]
    assert "broken" in s.status.reason


def test_a_retreat_needs_only_the_nodes_that_take_part() -> None:
    for broken, stops in (({"heard": {"controller": 0.0}}, True), ({"errors": {"shadow_sim": "broken"}}, False), ({"errors": {"controller": "broken"}}, True)):
        s = supervisor(State.RETREAT)
        s.observe(good(0.0, **broken), 0.0)
        assert (s.state is State.HOLD) == stops
    watcher = Watcher(WatchLimits(**{**vars(limits()), "nodes": ("recorder", "controller")}), HAND, ARM)
    heard = good(0.0, heard={"controller": 0.0, "recorder": -9.0})
    assert watcher.reasons(heard, 0.0, State.RETREAT) == []
    assert [r.fault for r in watcher.reasons(heard, 0.0, State.RUN)] == [Fault.DEAD_NODE]


def test_commands_of_an_earlier_motion_say_nothing_about_this_one() -> None:
    s = supervisor(State.HOLD)
    far = np.full(7, 1.0)
    s.observe(good(0.0, arm_target=far), 0.0)
    s.request(Event.RETREAT, 0.0)
    now = 0.0
    while now < 2.0:
        now += 0.1
        assert s.observe(good(now, arm_target=far), now) == [], "planning takes a while, and the old target is far away"
    while s.state is State.RETREAT and now < 4.0:
        now += 0.1
        s.observe(good(now, arm_target=far + 0.01), now)
    assert s.state is State.HOLD and "fr3_joint1" in s.status.reason and now == pytest.approx(2.6, abs=0.15)


@pytest.mark.parametrize("state", [s for s in State if s is not State.UNCONFIGURED])
def test_a_supervisor_that_was_blind_holds(state: State) -> None:
    s = supervisor(state)
    s.observe(good(0.4), 0.4)
    assert s.state is state
    s.observe(good(1.2), 1.2)
    assert s.state is (State.HOLD if state in MOVING else state)
    if state in MOVING:
        assert "did not watch for 0.80 s" in s.status.reason


def test_a_log_that_ended_early_holds_the_trial() -> None:
    s = supervisor(State.RUN)
    s.observe(good(0.0, errors={"recorder": "the disk is full"}), 0.0)
    assert s.state is State.HOLD and "trial log: recorder reports: the disk is full" in s.status.reason


def test_run_is_refused_while_the_object_is_lost() -> None:
    s = supervisor(State.READY)
    s.observe(good(0.0, **VIOLATIONS[Fault.OBJECT_LOST]), 0.0)
    decision = s.request(Event.RUN, 0.0)
    assert not decision.accepted and "object lost" in decision.reason and s.state is State.READY


def test_motion_is_refused_without_measurements_and_with_old_ones_and_with_the_callers_reasons() -> None:
    s = Supervisor(Watcher(limits(), HAND, ARM))
    s.request(Event.CONFIGURE, 0.0)
    assert "nothing was measured" in s.request(Event.APPROACH, 0.0).reason
    s.observe(good(0.0), 0.0)
    assert "old" in s.request(Event.APPROACH, 3.0).reason
    assert "9 cm" in s.request(Event.APPROACH, 0.1, refusals=["the object is 9 cm away"]).reason
    assert s.state is State.IDLE
    assert s.request(Event.APPROACH, 0.1).accepted


def test_reset_is_refused_while_the_cause_lasts_and_leads_to_hold() -> None:
    s = supervisor(State.RUN)
    hot = good(0.0, temperature=np.full(16, 90.0))
    s.observe(hot, 0.0)
    assert s.status.reaction is Reaction.DROP_TORQUE
    assert not s.request(Event.RESET, 0.0).accepted
    s.observe(good(0.1), 0.1)
    assert s.state is State.FAULT, "a cause that goes away does not clear the fault"
    assert not s.request(Event.RUN, 0.1).accepted
    assert s.request(Event.RESET, 0.1).state is State.HOLD


def test_a_run_pauses_and_goes_on_and_plays_no_faster_than_it_was_told() -> None:
    s = Supervisor(Watcher(limits(), HAND, ARM), speed=0.5)
    for event in WAY_TO[State.RUN]:
        s.observe(good(0.0), 0.0)
        s.request(event, 0.0)
    assert s.status.pace == 0.5
    assert s.request(Event.PAUSE, 0.1).accepted and s.state is State.RUN and s.status.pace == 0.0
    assert s.status.may_move, "a paused run is watched as a run"
    s.observe(good(0.2, **VIOLATIONS[Fault.OBJECT_JUMP]), 0.2)
    assert s.state is State.HOLD


def test_a_paused_run_goes_on_at_the_operators_request_and_not_where_something_is_against_it() -> None:
    s = supervisor(State.RUN)
    s.request(Event.PAUSE, 0.0)
    assert not s.request(Event.RESUME, 0.0, refusals=["the object is gone"]).accepted and s.status.pace == 0.0
    assert s.request(Event.RESUME, 0.0).accepted and s.status.pace == 1.0
    assert [t.reason for t in s.transitions[-2:]] == ["the operator asked to pause", "the operator asked to go on"]
    s.request(Event.PAUSE, 0.0)
    s.request(Event.HOLD, 0.0)
    assert s.state is State.HOLD and not s.request(Event.RESUME, 0.0).accepted


@pytest.mark.parametrize("speed", [0.0, -1.0, 1.1, float("nan")])
def test_no_run_is_faster_than_its_reference(speed: float) -> None:
    with pytest.raises(InputError, match="speed"):
        Supervisor(Watcher(limits(), HAND, ARM), speed=speed)


@pytest.mark.parametrize("state", [s for s in State if s is not State.UNCONFIGURED])
def test_an_emergency_stop_is_left_by_reset_alone(state: State) -> None:
    s = supervisor(state)
    before = s.status.reaction
    assert s.request(Event.ESTOP, 0.0).accepted and s.state is State.FAULT
    assert s.status.reaction is max(Reaction.STOP_ARM, before) and not s.status.may_move
    for event in (Event.APPROACH, Event.RUN, Event.RESUME, Event.RETREAT):
        assert not s.request(event, 0.0).accepted
    assert s.request(Event.RESET, 0.0).state is State.HOLD


def test_an_emergency_stop_that_a_cell_has_and_that_is_silent_counts_as_pressed() -> None:
    for heard in ({"stamps": stamps(estop=-0.6)}, {"stamps": {k: v for k, v in stamps().items() if k != "estop"}}):
        s = supervisor(State.RUN)
        assert [r.fault for r in s.observe(good(0.0, **heard), 0.0)] == [Fault.ESTOP]
        assert s.state is State.FAULT and not s.request(Event.RESET, 0.0).accepted
    without = Watcher(WatchLimits(**{**vars(limits()), "estop": False}), HAND, ARM)
    assert without.reasons(good(0.0, estop=None, stamps=stamps(estop=-9.0)), 0.0, State.RUN) == []
    assert [r.fault for r in without.reasons(good(0.0, estop=True), 0.0, State.RUN)] == [Fault.ESTOP]


@pytest.mark.parametrize("stream", ["hand", "arm", "seen"])
def test_stamps_of_another_clock_stop_a_run(stream: str) -> None:
    s = supervisor(State.RUN)
    reasons = s.observe(good(0.0, stamps=stamps(**{stream: 3600.0})), 0.0)
    assert [r.fault for r in reasons] == [Fault.OBJECT_LOST if stream == "seen" else Fault.STALE_SENSOR] and "ahead of this clock" in reasons[0].what


def test_a_shadow_simulator_outside_the_hand_s_limits_stops_the_arm() -> None:
    s = supervisor(State.RUN)
    far = np.array([0.1, 0.0, 0.3] + [0.0] * 10 + [20.0] + [0.0] * 8)
    assert [r.fault for r in s.observe(good(0.0, shadow=far), 0.0)] == [Fault.JOINT_LIMIT]
    assert s.status.reaction is Reaction.STOP_ARM and "shadow simulator's 7 at 20.000" in s.status.reason


def test_a_finger_that_reads_no_number_is_a_fault() -> None:
    s = supervisor(State.RUN)
    assert [r.fault for r in s.observe(good(0.0, fingers=np.array([np.nan] * 16)), 0.0)] == [Fault.NOT_FINITE]


def test_nothing_moves_before_the_operator_was_heard() -> None:
    s = supervisor(State.IDLE)
    s.observe(good(0.0, stamps={k: v for k, v in stamps().items() if k != "operator/enable"}), 0.0)
    assert "operator" in s.request(Event.APPROACH, 0.0).reason and s.state is State.IDLE


@hypothesis.given(st.lists(st.one_of(st.sampled_from(list(Event)), st.sampled_from(list(VIOLATIONS)), st.none()), max_size=30))
@hypothesis.settings(max_examples=300, deadline=None)
def test_whatever_happens_nothing_moves_unasked(story: list[Event | Fault | None]) -> None:
    """Random events, faults and good measurements: a moving state is only ever entered by its own operator event."""
    s = Supervisor(Watcher(limits(), HAND, ARM))
    entry = {State.APPROACH: Event.APPROACH, State.RUN: Event.RUN, State.RETREAT: Event.RETREAT}
    now = 0.0
    for item in story:
        before = s.state
        if isinstance(item, Event):
            s.request(item, now)
        else:
            s.observe(good(0.0, **VIOLATIONS[item]) if item else good(0.0), now)
        after = s.state
        if after is not before:
            assert after not in MOVING or item is entry[after]
            assert before not in (State.HOLD, State.FAULT) or isinstance(item, Event) or after is State.FAULT
        assert s.status.may_move == (after in MOVING)
