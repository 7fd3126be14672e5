"""Find recordings and objects by name: beside a file, in installed data sets, among the user's own and shipped objects.

A name that ends with ``_mirrored`` and has no file is the mirror image of what the rest of it names (see ``references.mirror``).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

import dextrack_assets

from dextrack.errors import InputError
from dextrack.files import user_data
from dextrack.objects.spec import ObjectSpec
from dextrack.references.mirror import SUFFIX, mirror_object, mirror_recording, mirrored_name
from dextrack.references.recording import Recording
from dextrack.references.reference import Reference


def own_objects() -> Path:
    """The folder of the user's own objects, where ``dextrack data object`` puts them."""
    return user_data() / "objects"


def recordings(dataset: str = "*") -> dict[str, Path]:
    """Every installed recording of ``dataset`` (default: of all), name -> file; of equal names the first data set's."""
    return _named(user_data().glob(f"{dataset}/recordings/*.npz"))


def find_recording(name_or_path: str | Path) -> Recording:
    """Load a recording.

    Args:
        name_or_path: a file; or the name of an installed recording, for example ``apple_lift``, ``myodm/apple_lift`` or ``apple_lift_mirrored``.

    Raises:
        InputError: there is no such recording (the message lists close names), or its file is malformed.
    """
    text = str(name_or_path)
    path = Path(text).expanduser()
    if path.is_file():
        return Recording.load(path)
    dataset, _, name = text.rpartition("/")
    installed = recordings(dataset or "*") if "/" not in dataset and "*" not in text else {}
    if name in installed:
        return Recording.load(installed[name])
    if name.endswith(SUFFIX) and mirrored_name(name) in installed:
        return mirror_recording(Recording.load(installed[mirrored_name(name)]))
    everything = recordings()
    if not everything:
        raise InputError(f"recording {text!r} is not there: no data set is installed, and there is no such file.", remedy="run `dextrack data install myodm`.")
    remedy = _suggest(path.stem, everything, "`dextrack data list` shows all")
    raise InputError(f"recording {text!r} is not installed, and there is no such file.", remedy=remedy)


def find_object(item: Recording | Reference | str, near: Path | None = None) -> ObjectSpec:
    """Load the object that ``item`` names, or make it, where it is a mirror image.

    Looks in ``../objects`` beside the file that the recording was read from, then in its data set, among the user's own objects, in the
    other installed data sets, and among the objects that DexTrack ships. Where several have the name, a reference gets the one that it was
    retargeted with.

    Args:
        item: a recording, a reference, or an object's name.
        near: a file or folder beside which to look first, where ``item`` does not know its own.

    Raises:
        InputError: there is no such object (the message lists close names), its file is malformed, or it is another than the reference was made with.
    """
    name = item if isinstance(item, str) else item.object_name
    folders = _folders(item if isinstance(item, Recording) else None, near)
    known = _objects_in(folders)
    mirrored = name.endswith(SUFFIX) and name not in known and mirrored_name(name) in known
    if not mirrored and name not in known:
        raise InputError(
            f"object {name!r} is not known.",
            remedy=_suggest(name, known, "make it with `dextrack data object MESH`, or put its file into the folder `objects` beside that of the recording"),
        )
    file = mirrored_name(name) if mirrored else name
    wanted = item.provenance.get("object") if isinstance(item, Reference) else None
    found = _object(known[file], mirrored)
    if wanted in (None, found.digest):
        return found
    same = _with_digest(wanted, [folder / f"{file}.npz" for folder in folders], mirrored)
    if same is None:
        what = f"object {name!r}: {known[file]} is not the one that the reference was retargeted with: its shape, mass or friction is another."
        raise InputError(what, remedy="retarget and mine again, or put the file of that time into a folder `objects` beside the reference or the store.")
    return same


def _object(path: Path, mirrored: bool) -> ObjectSpec:
    """The object in a file, or its mirror image."""
    found = ObjectSpec.load(path)
    return mirror_object(found) if mirrored else found


def _with_digest(digest: str, paths: Iterable[Path], mirrored: bool) -> ObjectSpec | None:
    """The object with this digest, or whose mirror image has it; None where no file of ``paths`` holds it."""
    for path in paths:
        try:
            found = _object(path, mirrored)
        except InputError:
            continue  # not there, or not readable: it is not the one
        if found.digest == digest:
            return found
    return None


def objects(recording: Recording | None = None, near: Path | None = None) -> dict[str, Path]:
    """Every object that can be found, name -> file; what is nearest to ``recording`` or ``near`` wins."""
    return _objects_in(_folders(recording, near))


def _folders(recording: Recording | None, near: Path | None) -> list[Path]:
    """Folders in which objects may lie, the nearest to ``recording`` or ``near`` first."""
    folders: list[Path] = []
    for place in (near, recording.origin if recording else None):
        if place is not None:
            beside = place if place.is_dir() else place.parent
            folders += [beside.parent / "objects", beside / "objects"]
    if recording is not None and recording.dataset:
        folders.append(user_data() / recording.dataset / "objects")
    folders += [own_objects(), *sorted(user_data().glob("*/objects"))]
    try:
        folders.append(dextrack_assets.path("objects"))
    except FileNotFoundError:
        pass  # nothing is shipped
    return folders


def _objects_in(folders: Iterable[Path]) -> dict[str, Path]:
    """Objects in ``folders``, name -> file; of equal names the first."""
    return _named(path for folder in folders for path in sorted(folder.glob("*.npz")))


def _named(paths: Iterable[Path]) -> dict[str, Path]:
    """Name -> file, sorted by name; of equal names the first."""
    found: dict[str, Path] = {}
    for path in paths:
        if not path.name.startswith("."):  # a file that is just being written
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def _suggest(name: str, known: Iterable[str], otherwise: str) -> str:
    """A remedy: the known names most like ``name``."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.4) or [k for k in known if k.split("_")[0] == name.split("_")[0]][:5]
    return f"did you mean {', '.join(close)}? ({otherwise}.)" if close else f"{otherwise[0].upper()}{otherwise[1:]}."
