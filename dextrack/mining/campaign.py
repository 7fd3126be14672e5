"""A campaign: many tasks mined by worker processes into one store, with a ledger from which a stopped campaign goes on.

Who writes: only the process that runs the campaign, to references, store and ledger. Workers send what they made and keep nothing, so one that is
killed loses its task and no more, and when this process is killed its workers end and the next run does again what they were at.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.files import require_writable
from dextrack.hands.motors import FingerMotors
from dextrack.mining import ledger as ledgers
from dextrack.mining import workers
from dextrack.mining.engine import MUJOCO, Engine
from dextrack.mining.ledger import Ledger, Row
from dextrack.mining.tasks import Task, made_from
from dextrack.objects.spec import ObjectSpec
from dextrack.references.library import find_object, find_recording
from dextrack.references.mirror import mirror_recording
from dextrack.references.reference import Reference

if TYPE_CHECKING:
    from dextrack.mining.mine import MineConfig  # only workers import the physics


@dataclasses.dataclass(frozen=True)
class Campaign:
    """What to mine, where to, and how."""

    tasks: tuple[Task, ...]
    store: Path
    """The demonstration store; the ledger lies beside it."""
    config: MineConfig
    """Settings of mining; ``threads`` are those of each worker."""
    seed: int = 0
    workers: int = 1
    """Worker processes, each of which mines one task at a time."""
    force: bool = False
    """Mine also what the store holds already from the same inputs."""
    engine: Engine = MUJOCO
    """What each worker rolls out on."""
    motors: FingerMotors | None = None
    """Measured ones, instead of the hand's own."""

    def inputs(self, digest: str) -> str:
        """``inputs`` of the task with ``digest``."""
        return inputs(digest, self.config, self.seed, self.engine, self.motors)

    def settings(self) -> tuple[MineConfig, int, Engine, FingerMotors | None]:
        """Of every task."""
        return self.config, self.seed, self.engine, self.motors


class Watcher(Protocol):
    """Who is told what happens; see ``dextrack.cli.campaign``."""

    def begin(self, phase: str, tasks: Sequence[Task], rows: Sequence[Row]) -> None:
        """``phase`` (``retarget`` or ``mine``) begins with ``tasks``; ``rows`` are known already."""

    def hear(self, event: workers.Event) -> None:
        """Something happened in a worker, or nothing for a while."""

    def row(self, row: Row) -> None:
        """A task has its row."""


def run(campaign: Campaign, watcher: Watcher) -> list[Row]:
    """Mine what ``campaign`` has not mined yet; returns the rows of all its tasks, in their order.

    Raises:
        RefusedError: another campaign is at work on the store, or no worker process starts.
        InputError: store, ledger or a reference cannot be written.
    """
    require_writable(campaign.store)
    ledger = Ledger(ledgers.path_of(campaign.store))
    try:
        store.tidy(campaign.store)
        wanted = [t for t in campaign.tasks if not _known(campaign, ledger, t)]
        for task in wanted:
            if task.fault:
                ledger.append(_row(campaign, task, ledgers.REFUSED, why=task.fault, error=InputError.__name__))
        missing = [t for t in wanted if t.recording is not None and not t.fault]
        ready = [t for t in wanted if t.recording is None and not t.fault]
        if missing:
            watcher.begin("retarget", missing, ())
            ready += [t for t in _retarget(campaign, ledger, missing, watcher) if not _known(campaign, ledger, t)]
        if ready:
            # The longest first, so that no worker is alone with a long one at the end.
            ready.sort(key=lambda task: -task.steps)
            left = {t.key for t in ready}
            watcher.begin("mine", ready, [ledger.rows[t.key] for t in campaign.tasks if t.key not in left])
            _mine(campaign, ledger, ready, watcher)
        return [ledger.rows[t.key] for t in campaign.tasks]
    finally:
        ledger.close()


def known(campaign: Campaign) -> list[Row]:
    """The rows that tasks of ``campaign`` have in the ledger, mined or refused from the same inputs; needs no lock."""
    rows = ledgers.read(ledgers.path_of(campaign.store))
    done = [(t, rows[t.key]) for t in campaign.tasks if t.key in rows and rows[t.key].state in (ledgers.MINED, ledgers.REFUSED)]
    return [row for task, row in done if row.inputs in _may_be_made_from(campaign, task)]


def _may_be_made_from(campaign: Campaign, task: Task) -> list[str]:
    """The inputs of ``task`` as it was when the campaign began, and as it is if it was retargeted since."""
    digests = [task.digest]
    if task.recording is not None and not task.fault and task.path.is_file():
        # A file that cannot be read is no reference: the task is still to be done.
        with contextlib.suppress(InputError):
            digests.append(made_from(Reference.load(task.path)))
    return [campaign.inputs(digest) for digest in digests]


def _retarget(campaign: Campaign, ledger: Ledger, tasks: Sequence[Task], watcher: Watcher) -> list[Task]:
    """Make the references of ``tasks``; returns those that there are now."""
    made = []
    jobs = [workers.Job(t.key, _retarget_job, (str(t.recording), t.mirrored, t.hand, campaign.config.threads)) for t in tasks]
    for task, ended in _run(campaign, ledger, tasks, jobs, watcher):
        reference: Reference = ended.result
        reference.save(task.path)
        made.append(dataclasses.replace(task, recording=None, digest=made_from(reference), steps=reference.n_steps))
    return made


def _mine(campaign: Campaign, ledger: Ledger, tasks: Sequence[Task], watcher: Watcher) -> None:
    jobs = [workers.Job(t.key, _mine_job, (t.path, t.digest, campaign.store, campaign.force, *campaign.settings())) for t in tasks]
    for task, ended in _run(campaign, ledger, tasks, jobs, watcher):
        demonstration: Demonstration = ended.result
        store.save(campaign.store, demonstration, replace=True)
        ledger.append(_mined(campaign, task, demonstration, ended, ledger.rows.get(task.key)))
        watcher.row(ledger.rows[task.key])


def _run(campaign: Campaign, ledger: Ledger, tasks: Sequence[Task], jobs: Sequence[workers.Job], watcher: Watcher) -> Iterator[tuple[Task, workers.Ended]]:
    """Run ``jobs``, one for each of ``tasks``; yields those that have a result, and keeps the rows of those that have none."""
    by_name = {job.name: task for job, task in zip(jobs, tasks, strict=True)}
    events = workers.run(jobs, campaign.workers, campaign.config.threads)
    try:
        for event in events:
            watcher.hear(event)
            if not isinstance(event, workers.Ended):
                continue
            task = by_name[event.job.name]
            if event.state == workers.DONE:
                yield task, event
            else:
                ledger.append(_row(campaign, task, event.state, event.why, event))
                if not event.again:
                    watcher.row(ledger.rows[task.key])
    finally:
        events.close()


def _retarget_job(recording: str, mirrored: bool, hand: str, threads: int, tell: workers.Tell) -> Reference:
    """In a worker: retarget as ``dextrack retarget`` does by default."""
    import torch

    from dextrack.hands.spec import load_hand
    from dextrack.references.retarget import RetargetConfig, retarget

    torch.set_num_threads(threads)
    loaded = find_recording(recording)
    if mirrored:
        loaded = mirror_recording(loaded)
    return retarget(loaded, find_object(loaded), load_hand(hand), RetargetConfig(), 0, lambda done: tell(0, done, 0.0))


def _mine_job(
    path: Path, digest: str, out: Path, force: bool, config: MineConfig, seed: int, engine: Engine, motors: FingerMotors | None, tell: workers.Tell
) -> Demonstration:
    """In a worker: mine the reference at ``path``."""
    reference = Reference.load(path)
    if made_from(reference) != digest:
        raise InputError(f"{path}: it was changed while the campaign ran.", remedy="run the same command again.")
    demonstration = made(reference, find_object(reference, near=path), None if force else out, config, seed, tell, engine, motors)
    store.require_storable(demonstration)
    return demonstration


def made(
    reference: Reference,
    obj: ObjectSpec,
    out: Path | None,
    config: MineConfig,
    seed: int,
    tell: workers.Tell,
    engine: Engine = MUJOCO,
    motors: FingerMotors | None = None,
) -> Demonstration:
    """The demonstration of ``reference``, marked with its inputs: mined, or gone on from where the store at ``out`` has it from the same inputs with less done.

    Less is one try, and one without polishing.

    Args:
        reference: what to track.
        obj: its object.
        out: a store, which need not be there; None: whatever is there, it is mined.
        config: settings of mining.
        seed: of the first attempt.
        tell: called as work goes on.
        engine: what rolls out.
        motors: measured ones, instead of the hand's own.
    """
    from dextrack.mining.mine import go_on, mine

    settings = (seed, engine, motors)
    once = dataclasses.replace(config, again=dataclasses.replace(config.again, tries=1))
    bare = dataclasses.replace(once, polishing=dataclasses.replace(config.polishing, rounds=0))
    for less in (once, bare):
        before = inputs(made_from(reference), less, *settings)
        begun = None if out is None else stored(out, f"{reference.name}@{reference.hand_name}", before)
        if begun is not None:
            found = go_on(begun, obj, config, tell, engine, motors)
            found = dataclasses.replace(found, provenance={**found.provenance, "went_on_from": before})
            break
    else:
        found = mine(reference, obj, config, seed, tell, engine, motors)
    return marked(found, inputs(made_from(reference), config, *settings))


def inputs(digest: str, config: MineConfig, seed: int, engine: Engine = MUJOCO, motors: FingerMotors | None = None) -> str:
    """One digest of everything that a demonstration is made from.

    Threads and devices do not matter; that of MuJoCo, of a hand's own motors, of one try and of no polishing is as it was before there was a choice.
    """
    values = dataclasses.asdict(dataclasses.replace(config, threads=1))
    if not config.polishing.rounds:
        del values["polishing"]
    if config.again.tries == 1:
        del values["again"]
    made_from: list[Any] = [digest, values, seed]
    if engine.backend != MUJOCO.backend:
        made_from.append(engine.backend)
    if motors is not None:
        made_from.append(dataclasses.asdict(motors))
    settings = json.dumps(made_from, sort_keys=True)
    return hashlib.sha256(settings.encode()).hexdigest()


def _known(campaign: Campaign, ledger: Ledger, task: Task) -> bool:
    """Whether ``task`` needs no work: the ledger says so, or the store has it and the ledger is told so now."""
    if campaign.force:
        return False
    row, wanted = ledger.rows.get(task.key), campaign.inputs(task.digest)
    same = row is not None and row.inputs == wanted
    if row is not None and same and row.state == ledgers.REFUSED:
        return True
    if task.fault or task.recording is not None or not campaign.store.is_file():
        return False
    if row is not None and same and row.state == ledgers.MINED:
        return stored(campaign.store, task.key, wanted) is not None
    found = stored(campaign.store, task.key, wanted)
    if found is not None:
        ledger.append(_mined(campaign, task, found, None, None))
    return found is not None


def marked(demonstration: Demonstration, inputs: str) -> Demonstration:
    """``demonstration`` with the digest of its inputs in its provenance, by which ``stored`` knows it."""
    return dataclasses.replace(demonstration, provenance={**demonstration.provenance, "inputs": inputs})


def stored(path: Path, name: str, inputs: str) -> Demonstration | None:
    """The demonstration ``name``, if the store at ``path`` has it from the same ``inputs``."""
    if not path.is_file() or name not in store.names(path):
        return None
    try:
        found = store.load(path, name)
    except InputError:
        return None  # damaged: it is mined again
    return found if found.provenance.get("inputs") == inputs else None


def _row(campaign: Campaign, task: Task, state: str, why: str = "", ended: workers.Ended | None = None, **more: Any) -> Row:
    if ended is not None:
        more |= {"error": ended.error, "seconds": ended.seconds, "cpu_seconds": ended.cpu_seconds, "peak_rss_mb": ended.peak_rss_mb, "attempt": ended.attempt}
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    digest = campaign.inputs(task.digest)
    return Row(task.key, state, digest, why, steps=task.steps, seed=campaign.seed, ended=now, **more)


def _mined(campaign: Campaign, task: Task, demonstration: Demonstration, ended: workers.Ended | None, before: Row | None) -> Row:
    """The row of a demonstration; one that was gone on from has cost what its row ``before`` says as well."""
    p = demonstration.provenance
    more: dict[str, Any] = {"verdict": demonstration.verdict, "metrics": demonstration.metrics, "control_steps": int(p.get("control_steps", 0))}
    if ended is None:
        more["seconds"] = float(p.get("seconds", 0.0))
    row = _row(campaign, task, ledgers.MINED, ended=ended, **more)
    if before is None or ended is None or before.inputs != p.get("went_on_from"):
        return row
    together = {field: getattr(row, field) + getattr(before, field) for field in ("seconds", "cpu_seconds")}
    return dataclasses.replace(row, **together, peak_rss_mb=max(row.peak_rss_mb, before.peak_rss_mb))
