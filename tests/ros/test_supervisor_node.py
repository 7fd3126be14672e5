"""The supervisor's services in a real process: wrong order is refused with a reason, and nothing moves without measurements."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import handmade
import numpy as np
from dextrack_deploy import health
from dextrack_deploy.drivers.protocols import HandReading
from dextrack_deploy.status import State, Status
from dextrack_deploy.trial import read_events
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from std_msgs.msg import String
from std_srvs.srv import Trigger
from test_node import ACTIVATE, CONFIGURE, Remote


def test_services_are_refused_in_the_wrong_state(start: Callable[..., subprocess.Popen], observer: object, spin: Callable[..., bool], tmp_path: Path) -> None:
    from dextrack_ros import messages

    placed, _ = handmade.write_trial(tmp_path)
    start("dextrack_ros.supervisor", "--ros-args", "-p", f"trial:={tmp_path}", "-p", f"placed:={placed}", "-p", "watched:=controller,hand_driver")
    node = Remote(observer, spin, "supervisor")
    heard = []
    observer.create_subscription(String, "supervisor/state", lambda m: heard.append(Status.decode(m.data)), messages.qos("latched"))
    services = {n: observer.create_client(Trigger, f"supervisor/{n}") for n in ("approach", "run", "hold", "retreat", "reset")}
    assert spin(observer, lambda: all(s.service_is_ready() for s in services.values()))

    def ask(name: str) -> tuple[bool, str]:
        answer = node.call(services[name], Trigger.Request())
        return answer.success, answer.message

    for name in services:
        assert ask(name) == (False, f"{name} is not possible: the supervisor is not active")
    assert node.change(CONFIGURE) and node.change(ACTIVATE)
    assert spin(observer, lambda: bool(heard) and heard[-1].state is State.IDLE)
    for name in ("run", "retreat", "reset"):
        accepted, reason = ask(name)
        assert not accepted and f"{name} is not possible in IDLE" in reason
    accepted, reason = ask("approach")
    assert not accepted
    for missing in ("controller", "hand_driver", "hand/joint_states", "arm/joint_states", "object"):
        assert missing in reason
    assert ask("hold") == (True, "already still in IDLE")
    assert {s.state for s in heard} <= {State.IDLE, State.UNCONFIGURED}
    events, lost = read_events(tmp_path / "events.jsonl")
    assert lost == 0
    assert [e["accepted"] for e in events if e["kind"] == "request"] == [False] * 4 + [True]


def test_an_error_of_the_recorder_and_a_hot_motor_are_reasons_against_moving(
    start: Callable[..., subprocess.Popen], observer: object, spin: Callable[..., bool], tmp_path: Path
) -> None:
    from dextrack_ros import messages

    placed, _ = handmade.write_trial(tmp_path)
    start("dextrack_ros.supervisor", "--ros-args", "-p", f"placed:={placed}", "-p", "watched:=recorder,hand_driver")
    node = Remote(observer, spin, "supervisor")
    against: list[str] = []

    def hear(array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name == "supervisor":
                against[:] = json.loads(messages.from_status(status).get("against", "[]"))

    observer.create_subscription(DiagnosticArray, "/diagnostics", hear, messages.qos("report"))
    beat = observer.create_publisher(DiagnosticArray, "/diagnostics", messages.qos("report"))
    assert node.change(CONFIGURE) and node.change(ACTIVATE)

    def say(error: str, hottest: float) -> Callable[[str], bool]:
        """Heartbeats of both nodes, until the supervisor has ``words`` against an approach."""
        level = DiagnosticStatus.ERROR if error else DiagnosticStatus.OK
        reading = HandReading(1, np.zeros(16), temperature=np.array([30.0] * 15 + [hottest]))
        statuses = [
            messages.status("recorder", level, error, health.of_log(5000.0)),
            messages.status("hand_driver", messages.OK, "", health.of_hand(reading)),
        ]

        def heard(words: str) -> bool:
            beat.publish(messages.diagnostics(time.time_ns(), statuses))
            return any(words in reason for reason in against)

        return heard

    wrong = say("the log ended early: No space left on device", 62.0)
    assert spin(observer, lambda: wrong("recorder reports: the log ended early: No space left on device"))
    assert spin(observer, lambda: wrong("motor 15 has 62 C (limit 60 C)"))
    right = say("", 40.0)
    assert spin(observer, lambda: not right("recorder reports") and not right("motor 15") and bool(against))
