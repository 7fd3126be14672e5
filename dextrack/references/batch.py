"""Many recordings retargeted: what is there already is kept, what is refused is told and stops nothing.

Several processes share the recordings. In each it is one after the other: a frame of a short recording costs what one of a long recording does (5.1, 5.2, 5.3
and 5.7 ms in the four quarters of MyoDM from the shortest to the longest, ``tests/bench/results/retarget.json``), so there is nothing that solving several side
by side would share. The model of the hand, its spheres and the distance fields are read once in each.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from dextrack.errors import InputError, RefusedError
from dextrack.files import require_writable
from dextrack.hands.spec import HandSpec
from dextrack.objects.spec import ObjectSpec
from dextrack.references.library import find_object, find_recording
from dextrack.references.mirror import mirror_recording
from dextrack.references.recording import Recording
from dextrack.references.reference import ALGORITHM, Reference, file_of
from dextrack.references.retarget import RetargetConfig, retarget


@dataclasses.dataclass(frozen=True)
class Job:
    """How recordings are retargeted, and where the references go."""

    hand: HandSpec
    out: Path
    """Folder; see ``file_of``."""
    config: RetargetConfig = RetargetConfig()
    seed: int = 0
    mirror: bool = False
    """Retarget the recordings' mirror images."""
    force: bool = False
    """Make references again that are there and were made from the same inputs."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a recording."""

    name: str
    path: Path
    """The reference's file, which is there unless the recording was refused."""
    reference: Reference | None
    made: bool
    """False: it was there, made from the same inputs."""
    seconds: float
    flags: tuple[str, ...] = ()
    """What the recording's reader noticed, and whether a damaged file was replaced."""
    refused: RefusedError | InputError | None = None


def retarget_named(name: str, job: Job, progress: Callable[[float], None] | None = None) -> Outcome:
    """Retarget the recording ``name`` (or file) as ``job`` says, unless that was done before.

    Raises:
        RefusedError: the recording is hopeless.
        InputError: there is no such recording or object, or a file is malformed or cannot be written.
    """
    began = time.monotonic()
    recording = find_recording(name)
    if job.mirror:
        recording = mirror_recording(recording)
    obj = find_object(recording)
    path = file_of(job.out, recording.name, job.hand.name)
    flags = recording.flags
    if not job.force and path.is_file():
        try:
            found = Reference.load(path)
        except InputError as error:
            flags += (f"{error.what} It is made again.",)
        else:
            if _inputs(found) == _wanted(recording, obj, job):
                return Outcome(recording.name, path, found, False, time.monotonic() - began, flags)
    require_writable(path)
    reference = retarget(recording, obj, job.hand, job.config, job.seed, progress)
    reference.save(path)
    return Outcome(recording.name, path, reference, True, time.monotonic() - began, flags)


def retarget_all(names: Sequence[str], job: Job, progress: Callable[[int, float], None] | None = None, workers: int = 1) -> Iterator[Outcome]:
    """Retarget the recordings ``names``; a refused one gives an ``Outcome`` that says why.

    Args:
        names: of installed recordings, or files.
        job: how.
        progress: called with the number of the recording and the fraction of it that is done, of several workers only when it is.
        workers: processes; 1: this one.

    Returns:
        Outcomes in the order of ``names``, the same however many workers there are.

    Raises:
        RefusedError: a worker was killed; what was made until then is there.
    """
    if workers <= 1 or len(names) <= 1:
        for i, name in enumerate(names):
            yield _outcome(name, job, functools.partial(progress, i) if progress else None)
        return
    # Spawned, not forked: libraries that keep threads do not survive a fork.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _one_thread) as pool:
        asked = [pool.submit(_outcome, name, job) for name in names]
        try:
            for i, future in enumerate(asked):
                outcome = future.result()
                if progress:
                    progress(i, 1.0)
                yield outcome
        except BrokenProcessPool:
            raise RefusedError("retargeting: a worker process was killed.", remedy="run the same command again: what was made is kept.") from None
        finally:
            for future in asked:
                future.cancel()


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _outcome(name: str, job: Job, progress: Callable[[float], None] | None = None) -> Outcome:
    began = time.monotonic()
    try:
        return retarget_named(name, job, progress)
    except (RefusedError, InputError) as error:
        return Outcome(name, job.out / f"{Path(name).stem}.npz", None, False, time.monotonic() - began, refused=error)


def _wanted(recording: Recording, obj: ObjectSpec, job: Job) -> tuple[Any, ...]:
    # As it comes back from a file: JSON has no tuples.
    return recording.digest, obj.digest, json.loads(json.dumps(dataclasses.asdict(job.config))), job.seed, job.hand.name, ALGORITHM


def _inputs(reference: Reference) -> tuple[Any, ...]:
    p = reference.provenance
    return p.get("recording"), p.get("object"), p.get("config"), p.get("seed"), reference.hand_name, p.get("algorithm")
