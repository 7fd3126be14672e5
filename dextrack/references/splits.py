"""The split of a data set into what is learnt from and what is held out; fixed, so that figures of different days compare.

``train``        recordings to learn from
``test_seen``    held-out recordings of objects of which ``train`` has another recording
``test_unseen``  every recording of the held-out objects
``excluded``     inputs that no hand could track, each with its reason: neither learnt from nor tested; tables over all recordings count them as failures

The rule, which ``derive`` follows (parts are counted over the recordings that are not excluded):

1. Scenery of the source (MyoDM: ``human``, ``table``) is no object, and no recording may name it; ``hand`` is an object, a toy. Excluded is what
   carries a flag ``bad input``, or whose object goes more than 30 mm below the table: a table cannot be passed. Recordings that are merely fast,
   or up to 30 mm low, are slowed or lifted by retargeting, and take part.
2. Names are put into an order that nobody chose: by the SHA-256 of ``SALT`` and the name.
3. Objects of one shape are held out together, whatever their names (``duck`` and ``rubberduck``): ``SAME_SHAPE``.
4. ``test_unseen``: of each category of objects with at least three of them, the first whose recordings leave every verb in training, where a
   verb is the name's second word without its number; then further objects in order, no second one of a category that would lose more than a third,
   until 15 % of the recordings are held out.
5. ``test_seen``: of the other objects, in order, one recording each while the object and the verb keep one in training, and not more than a
   quarter (rounded up) of a verb's, until 15 % are held out.

The result is committed as ``assets/dextrack_assets/splits/<data set>.json``, names only; a test derives it again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping

import dextrack_assets

from dextrack.errors import InputError
from dextrack.references.mirror import SUFFIX

PARTS = ("train", "test_seen", "test_unseen", "excluded")
SALT = "dextrack split 1: "
HELD_OUT = 0.15
"""Share of the recordings in each held-out part."""
TOO_LOW = 0.03
"""An object that goes farther than this below the table, m, cannot be tracked above one."""
SCENERY = frozenset({"human", "table"})
"""Shapes of MyoDM's source that are no objects."""
SAME_SHAPE = (("mug", "coffeemug"), ("cubemedium", "cubemiddle"), ("duck", "rubberduck"), ("stamp", "doorknob"), ("watch", "wristwatch"))
"""MyoDM's objects that are one mesh under two names."""
CATEGORIES: dict[str, frozenset[str]] = {
    "angular solids": frozenset({"cubelarge", "cubemedium", "cubesmall", "pyramidlarge", "pyramidmedium", "pyramidsmall"}),
    "round solids": frozenset(
        {"cylinderlarge", "cylindermedium", "cylindersmall", "spherelarge", "spheremedium", "spheresmall", "toruslarge", "torusmedium", "torussmall"}
    ),
    "vessels": frozenset({"bowl", "cup", "fryingpan", "mug", "teapot", "waterbottle", "wineglass"}),
    "figures": frozenset({"airplane", "duck", "elephant", "hand", "piggybank", "stanfordbunny", "train"}),
    "tools": frozenset({"flashlight", "flute", "hammer", "knife", "scissors", "stamp", "stapler", "toothbrush"}),
    "devices": frozenset({"alarmclock", "binoculars", "camera", "gamecontroller", "lightbulb", "mouse", "phone"}),
    "wearables": frozenset({"eyeglasses", "headphones", "watch"}),
    "food and tubes": frozenset({"apple", "banana", "toothpaste"}),
}
"""Kinds of objects, none of which the split may empty."""


@dataclasses.dataclass(frozen=True)
class Split:
    """Names of recordings by part; every recording of the data set is in exactly one."""

    dataset: str
    train: tuple[str, ...]
    test_seen: tuple[str, ...]
    test_unseen: tuple[str, ...]
    excluded: Mapping[str, str]
    """Name -> why."""

    def part_of(self, name: str) -> str:
        """The part that the recording ``name``, or its mirror image, is in.

        Raises:
            InputError: it is in none.
        """
        for part in PARTS:
            if name.removesuffix(SUFFIX) in getattr(self, part):
                return part
        raise InputError(f"recording {name!r} is in no part of the split of {self.dataset}.", remedy="`dextrack data split` shows the parts.")


def load(dataset: str = "myodm") -> Split:
    """The committed split of a data set.

    Raises:
        InputError: it has none.
    """
    try:
        path = dextrack_assets.path("splits", f"{dataset}.json")
    except FileNotFoundError:
        raise InputError(f"data set {dataset!r} has no split.", remedy="myodm has one.") from None
    value = json.loads(path.read_text(encoding="utf-8"))
    train, test_seen, test_unseen = (tuple(value[part]) for part in PARTS[:3])
    return Split(dataset, train, test_seen, test_unseen, dict(value["excluded"]))


def object_of(recording: str) -> str:
    """The object in a recording's name: ``apple`` of ``apple_pass1``."""
    return recording.split("_")[0]


def verb_of(recording: str) -> str:
    """What is done with it: ``pass`` of ``apple_pass1``."""
    return re.sub(r"\d+$", "", recording.split("_", 1)[1])


def reason_to_exclude(flags: Iterable[str]) -> str | None:
    """Why a recording with these flags (``readers.faults``) cannot be tracked; None where it can."""
    for flag in flags:
        low = re.match(r"table: the object goes (\d+) mm below it", flag)
        if flag.startswith("bad input") or (low and int(low.group(1)) > 1e3 * TOO_LOW):
            return flag
    return None


def derive(dataset: str, flags: Mapping[str, Iterable[str]]) -> Split:
    """Split recordings by the rule of this module.

    Args:
        dataset: its name.
        flags: name of each recording -> what is known to be wrong with it.

    Raises:
        InputError: a recording names scenery, or an object without a category.
    """
    excluded = {name: reason for name in sorted(flags) if (reason := reason_to_exclude(flags[name])) is not None}
    usable = sorted(set(flags) - set(excluded), key=_order)
    for name in flags:
        if object_of(name) in SCENERY:
            raise InputError(f"recording {name!r}: {object_of(name)} is scenery, no object.", remedy="leave it out.")
        _category(object_of(name))
    unseen = _unseen_objects(usable)
    test_unseen = [name for name in usable if object_of(name) in unseen]
    test_seen = _seen([name for name in usable if object_of(name) not in unseen], round(HELD_OUT * len(usable)))
    train = set(usable) - set(test_unseen) - set(test_seen)
    return Split(dataset, tuple(sorted(train)), tuple(sorted(test_seen)), tuple(sorted(test_unseen)), excluded)


def _order(name: str) -> str:
    return hashlib.sha256((SALT + name).encode()).hexdigest()


def _category(name: str) -> str:
    """The category of an object.

    Raises:
        InputError: it has none.
    """
    shape = next((first for first, *others in SAME_SHAPE if name in others), name)
    for category, objects in CATEGORIES.items():
        if shape in objects:
            return category
    raise InputError(f"object {name!r} is in no category.", remedy="add it to CATEGORIES of dextrack/references/splits.py.")


def _unseen_objects(usable: list[str]) -> set[str]:
    """Step 4: the objects that are held out."""
    objects = sorted({object_of(name) for name in usable}, key=_order)
    size = Counter(_category(name) for name in objects)
    held: set[str] = set()

    def fits(candidate: str) -> bool:
        left = Counter(verb_of(name) for name in usable if object_of(name) not in held | _same(candidate))
        return all(left[verb_of(name)] for name in usable)

    for category in sorted(size):
        if size[category] >= 3:
            held |= _same(next((name for name in objects if _category(name) == category and fits(name)), ""))
    for name in objects:
        category = _category(name)
        taken = sum(_category(other) == category for other in held & set(objects))
        enough = sum(object_of(other) in held for other in usable) >= round(HELD_OUT * len(usable))
        if not enough and name not in held and 3 * (taken + 1) <= size[category] and fits(name):
            held |= _same(name)
    return held & set(objects)


def _same(name: str) -> set[str]:
    """``name`` and the other names of its shape."""
    return next((set(names) for names in SAME_SHAPE if name in names), {name})


def _seen(others: list[str], count: int) -> list[str]:
    """Step 5: the held-out recordings among ``others``, which are in order."""
    held: list[str] = []
    objects, verbs = Counter(map(object_of, others)), Counter(map(verb_of, others))
    for name in others:
        mine, verb = object_of(name), verb_of(name)
        used = sum(verb_of(h) == verb for h in held)
        if len(held) < count and objects[mine] >= 2 and mine not in map(object_of, held) and used < min(math.ceil(verbs[verb] / 4), verbs[verb] - 1):
            held.append(name)
    return held
