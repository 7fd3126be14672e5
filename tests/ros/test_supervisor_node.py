"""The supervisor's services in a real process: wrong order is refused with a reason, and nothing moves without measurements."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import handmade
from dextrack_deploy.status import State, Status
from dextrack_deploy.trial import read_events
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
