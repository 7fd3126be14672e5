"""The failures of a store in order, by their causes: what the gallery's figure and its Markdown table both show."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from dextrack.evaluation.results import Result
from dextrack.mining import failure
from dextrack.mining.ledger import MINED

NOT_MINED, UNEXPLAINED = "not mined", "not explained"
MEANINGS = {
    failure.UNREACHABLE: "the hand cannot get to the contact points, or retargeting refused the recording",
    failure.NEVER: "no grip of 0.1 s came about",
    failure.TABLE: "the hand pressed on the table and therefore did not grip or raise the object",
    failure.TORQUE: "gripping fingers gave all their torque, and more would have held",
    failure.EJECTED: "the object left the hand at 0.5 m/s or more",
    failure.SLIPPED: "gripped, then moved 2 cm in the hand, or slowly out of it",
    failure.ASTRAY: "gripped to the end and not slipped: the hand itself was in the wrong place",
    failure.LATE: "held, but up later or down earlier than allowed",
    failure.ROTATED: "lifted and held, but more than 20° off in the mean",
    failure.PENETRATING: "lifted and held, but the hand is deeper in the object than 5 mm",
    failure.FRAGILE: "passes the rest, but fewer than 7 of 8 perturbed replays lift and hold",
    NOT_MINED: "mining itself broke off, or something that it needs was missing or wrong",
    UNEXPLAINED: "mined, but its object is not there any more, or its replay diverges",
}
"""What each cause means in a line; dextrack/mining/failure.py has the rules."""
ASKED = (failure.UNREACHABLE, failure.NEVER, failure.TABLE, failure.TORQUE, failure.EJECTED, failure.SLIPPED)
"""Causes that are named even where nothing failed by them: that none did is a finding too."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One failed task in words."""

    task: str
    """``<reference>@<hand>``."""
    cause: str
    """Out of ``MEANINGS``."""
    finding: str
    part: str = ""
    """What failed: a part of the verdict, ``rotation`` or ``refused``."""
    perturbed: str = ""
    """For ``not robust``: the most common cause among the perturbed replays."""
    time: float | None = None
    """When it failed, s into the motion."""

    @property
    def name(self) -> str:
        """The task without its hand."""
        return self.task.partition("@")[0]

    @property
    def label(self) -> str:
        """The cause, and that of the perturbed replays where only they fail."""
        return f"{self.cause}: {self.perturbed}" if self.perturbed else self.cause


def entries(results: Sequence[Result]) -> list[Entry]:
    """Every one of ``results`` that failed, by cause in the order of ``MEANINGS``, then by name."""
    order = list(MEANINGS)
    failed = [e for r in results if (e := _entry(r)) is not None]
    return sorted(failed, key=lambda e: (order.index(e.cause), order.index(e.perturbed) if e.perturbed else -1, e.task))


def _entry(r: Result) -> Entry | None:
    if r.failure is not None:
        f = r.failure
        # A refusal names the recording, which stands beside it, and a remedy, which is for whoever retargets.
        why = f.why.partition(" Remedy: ")[0].removeprefix(f"recording {r.task.partition('@')[0]}: ")
        return Entry(r.task, f.cause, why, f.part, f.perturbed, f.evidence.get("time_s"))
    if r.passed:
        return None
    return Entry(r.task, UNEXPLAINED, r.why) if r.state == MINED else Entry(r.task, NOT_MINED, f"{r.state}: {r.why}" if r.why else r.state)


def counts(failed: Sequence[Entry]) -> dict[str, int]:
    """Number of failures by cause, in the order of ``MEANINGS``: causes that there are, and those of ``ASKED``."""
    found = Counter(e.cause for e in failed)
    return {cause: found[cause] for cause in MEANINGS if found[cause] or cause in ASKED}


def told(results: Sequence[Result], failed: Sequence[Entry]) -> str:
    """How many failed, in a sentence."""
    whole = sum(r.passed for r in results)
    text = f"{whole} of {len(results)} tasks pass the whole verdict, {len(results) - whole} fail it"
    beside = len(failed) - (len(results) - whole)
    return text + (f", and {beside} of those that pass {'is' if beside == 1 else 'are'} more than 20° off in the mean" if beside > 0 else "") + "."


def table(results: Sequence[Result], title: str, lead: Sequence[str] = ()) -> str:
    """The Markdown page: counts by cause, and one row per failed task; ``lead`` are paragraphs before them."""
    failed = entries(results)
    lines = [f"# {title}", "", *(line for paragraph in lead for line in (paragraph, "")), told(results, failed), ""]
    lines += ["| cause | tasks | of perturbed replays | meaning |", "|---|---|---|---|"]
    perturbed = Counter(e.perturbed for e in failed)
    found = counts(failed)
    for cause, meaning in MEANINGS.items():
        if cause in found or perturbed[cause]:
            lines.append(f"| {cause} | {found.get(cause, 0)} | {perturbed[cause] or ''} | {meaning} |")
    lines += ["", "The third column counts the tasks that are not robust by what their perturbed replays fail of most often.", ""]
    lines += ["| task | cause | failed | at | finding |", "|---|---|---|---|---|"]
    for e in failed:
        cells = (e.name, e.label, e.part or "-", "-" if e.time is None else f"{e.time:.2f} s", e.finding)
        lines.append("| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |")
    return "\n".join(lines) + "\n"
