"""The tasks of a campaign: which references there are, and which recordings have none yet."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from dextrack.errors import InputError
from dextrack.files import digest
from dextrack.hands.spec import load_hand
from dextrack.references.library import find_object, find_recording, recordings
from dextrack.references.mirror import mirror_recording
from dextrack.references.recording import Recording
from dextrack.references.reference import ALGORITHM, Reference, file_of


@dataclasses.dataclass(frozen=True)
class Task:
    """A reference to be mined, a recording to be retargeted first, or a file that is neither."""

    name: str
    """Of the recording or reference."""
    hand: str
    path: Path
    """Where the reference lies, or will."""
    digest: str
    """Of what it is made from, see ``made_from``; of a recording and its object, or of why there is none; or of the file that could not be read."""
    steps: int = 0
    """Control steps of the reference; 0 while there is none."""
    recording: Path | None = None
    """The recording that has to be retargeted, ..."""
    mirrored: bool = False
    """... or its mirror image."""
    fault: str = ""
    """Why it cannot be mined."""

    @property
    def key(self) -> str:
        """The name of its demonstration in the store, ``<reference>@<hand>``."""
        return f"{self.name}@{self.hand}"


def made_from(reference: Reference) -> str:
    """Digest of everything that mining a reference depends on: its arrays, and the object, whose mass and friction no array shows."""
    return _digest(reference.digest, str(reference.provenance.get("object", "")))


def from_items(items: Sequence[str], folder: Path, hand: str) -> list[Task]:
    """The tasks that ``items`` name: reference files, folders of references, and recordings by name or file.

    Args:
        items: as the user wrote them.
        folder: where the references of recordings lie, or will.
        hand: robot hand of those references.

    Raises:
        InputError: an item is none of these, a folder holds no reference, or two different tasks have the same name.
    """
    tasks: list[Task] = []
    present: list[Task] | None = None
    for item in items:
        path = Path(item).expanduser()
        if path.is_dir():
            found = _references(path, hand)
            if not found:
                raise InputError(f"{path}: the folder holds no reference.", remedy="give a folder that `dextrack retarget` wrote to, or use --all.")
            tasks += found
        elif path.is_file() and not is_recording(path):
            tasks.append(_reference(path, hand))
        else:
            recording = find_recording(item)
            path = recording.origin or path
            present = _references(folder, hand) if present is None else present
            tasks.append(_of_recording(recording, path, Recording.load(path).name != recording.name, present, folder, hand))
    return distinct(tasks)


def everything(folder: Path, hand: str) -> list[Task]:
    """Every installed recording, or its mirror image where it is of the other side, and every reference for ``hand`` in ``folder``.

    Raises:
        InputError: there are none, two recordings have the same name, or the hand is not registered.
    """
    side = load_hand(hand).side
    present = [t for t in _references(folder, hand) if t.hand == hand]
    tasks: list[Task] = []
    for path in recordings().values():
        try:
            recording = Recording.load(path)
        except InputError as error:
            tasks.append(Task(path.stem, hand, path, digest(path), fault=str(error)))
        else:
            mirrored = recording.side != side
            tasks.append(_of_recording(mirror_recording(recording) if mirrored else recording, path, mirrored, present, folder, hand))
    tasks = distinct(tasks)
    named = {t.name for t in tasks}
    tasks += [t for t in present if t.name not in named]
    if not tasks:
        raise InputError(f"there is nothing to mine: no recording is installed, and {folder} holds no reference.", remedy="run `dextrack data install myodm`.")
    return distinct(tasks)


def _of_recording(recording: Recording, path: Path, mirrored: bool, present: Iterable[Task], folder: Path, hand: str) -> Task:
    """The task of ``recording``, which, or whose mirror image, is the file ``path``.

    It is one of the references that are ``present``, or one to be made at a name in ``folder`` that no other hand uses.
    """
    place = file_of(folder, recording.name, hand)
    try:
        obj = find_object(recording)
    except InputError as error:
        found = _digest(recording.digest, recording.side, str(error))
        return Task(recording.name, hand, place, found, recording=path, mirrored=mirrored, fault=str(error))
    for task in present:
        if (task.name, task.hand) == (recording.name, hand) and not task.fault:
            made_from = Reference.load(task.path).provenance
            if (made_from.get("recording"), made_from.get("object"), made_from.get("algorithm")) == (recording.digest, obj.digest, ALGORITHM):
                return task
    return Task(recording.name, hand, place, _digest(recording.digest, recording.side, obj.digest), recording=path, mirrored=mirrored)


def _references(folder: Path, hand: str) -> list[Task]:
    """The references in ``folder``, and the files there that should be some, for ``hand``; files that are just being written are hidden."""
    return [_reference(path, hand) for path in sorted(folder.glob("*.npz")) if not path.name.startswith(".")]


def _reference(path: Path, hand: str) -> Task:
    try:
        reference = Reference.load(path)
    except InputError as error:
        name, _, named = path.stem.partition("@")
        return Task(name, named or hand, path, digest(path), fault=str(error))
    try:
        find_object(reference, near=path)
    except InputError as error:
        # Of the reason too: where it goes away, the task is another one.
        return Task(reference.name, reference.hand_name, path, _digest(made_from(reference), str(error)), reference.n_steps, fault=str(error))
    return Task(reference.name, reference.hand_name, path, made_from(reference), reference.n_steps)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def is_recording(path: Path) -> bool:
    """Whether the file at ``path`` is a recording."""
    try:
        Recording.load(path)
    except InputError:
        return False
    return True


def distinct(tasks: Iterable[Task]) -> list[Task]:
    """``tasks`` without repetitions.

    Raises:
        InputError: two different ones have the same name.
    """
    found: dict[str, Task] = {}
    for task in tasks:
        other = found.setdefault(task.key, task)
        if (other.digest, other.fault) != (task.digest, task.fault):
            remedy = "rename one of them, or mine them to different stores."
            raise InputError(f"{other.path} and {task.path} are of the same name and not the same, {task.key}.", remedy=remedy)
    return list(found.values())
