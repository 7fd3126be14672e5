"""StageLog: when the message that carries a stamp passed a stage; the report turns pairs of stages into latencies."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus

from dextrack_ros import messages


class StageLog:
    """Notes of stages, published in batches: one message per note would cost more than what it measures."""

    def __init__(self) -> None:
        """Begin empty."""
        self._notes: dict[str, dict[str, str]] = {}

    def __len__(self) -> int:
        """Notes since the last ``take``."""
        return sum(len(notes) for notes in self._notes.values())

    def add(self, stage: str, stamp: int, time: int) -> None:
        """Note that the message carrying ``stamp`` passed ``stage`` at ``time`` (both ns). Of the same stamp the first counts: later ones are repetitions."""
        self._notes.setdefault(stage, {}).setdefault(str(stamp), str(time))

    def take(self) -> list[DiagnosticStatus]:
        """The notes as one status per stage (key: carried stamp, value: time, both in ns), and begin anew."""
        statuses = [messages.status(stage, DiagnosticStatus.OK, "", notes) for stage, notes in self._notes.items()]
        self._notes = {}
        return statuses
