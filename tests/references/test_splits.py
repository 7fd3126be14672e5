from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dextrack.errors import InputError
from dextrack.references import splits
from dextrack.references.splits import Split, derive, load, object_of, verb_of

MYODM = load("myodm")
FLAGS: dict[str, tuple[str, ...]] = {n: () for n in (*MYODM.train, *MYODM.test_seen, *MYODM.test_unseen)} | {n: (why,) for n, why in MYODM.excluded.items()}


def shape(name: str) -> str:
    return next((names[0] for names in splits.SAME_SHAPE if name in names), name)


def test_the_rule_gives_the_committed_split() -> None:
    assert derive("myodm", FLAGS) == MYODM
    assert derive("myodm", dict(reversed(FLAGS.items()))) == MYODM, "the order in which recordings are found does not matter"


def test_the_committed_split_stays_as_it_is() -> None:
    """Figures that were published with it could not be compared with new ones otherwise; a new split gets a new name."""
    text = "\n".join(f"{part}: {','.join(getattr(MYODM, part))}" for part in splits.PARTS)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "7e18a62255557f24"


def test_sizes() -> None:
    assert len(FLAGS) == 95 and len(MYODM.excluded) == 6
    usable = 95 - len(MYODM.excluded)
    for part in (MYODM.test_seen, MYODM.test_unseen):
        assert 0.12 <= len(part) / usable <= 0.18


def test_no_category_and_no_verb_is_emptied() -> None:
    usable = set(FLAGS) - set(MYODM.excluded)
    assert {verb_of(n) for n in MYODM.train} == {verb_of(n) for n in usable}
    category = {o: c for c, objects in splits.CATEGORIES.items() for o in objects}
    assert len(category) == sum(map(len, splits.CATEGORIES.values())), "an object is in one category"
    for part in (MYODM.train, MYODM.test_unseen):
        assert {category[object_of(n)] for n in part} == set(splits.CATEGORIES)
    assert len({verb_of(n) for n in MYODM.test_seen}) >= 5 and len({verb_of(n) for n in MYODM.test_unseen}) >= 5


def partition(split: Split, names: set[str]) -> None:
    """What must hold of any split: every recording in one part; held-out objects nowhere else; objects that were seen, seen."""
    parts = [list(getattr(split, part)) for part in splits.PARTS]
    assert Counter(n for part in parts for n in part) == Counter(names)
    seen = {shape(object_of(n)) for n in split.train}
    assert {shape(object_of(n)) for n in split.test_seen} <= seen
    assert not {shape(object_of(n)) for n in split.test_unseen} & (seen | {shape(object_of(n)) for n in split.test_seen})
    assert {verb_of(n) for n in split.train} == {verb_of(n) for n in names - set(split.excluded)}


def test_myodm_is_a_partition() -> None:
    partition(MYODM, set(FLAGS))


@settings(max_examples=50, deadline=None)
@given(st.sets(st.sampled_from(sorted(FLAGS) + ["rubberduck_lift", "coffeemug_pass1", "cubemiddle_lift"]), min_size=1))
def test_any_part_of_it_is_split_as_well(names: set[str]) -> None:
    partition(derive("some", {n: FLAGS.get(n, ()) for n in names}), names)


def test_every_recording_is_in_a_part_its_mirror_image_in_the_same() -> None:
    assert MYODM.part_of(MYODM.test_unseen[0]) == MYODM.part_of(MYODM.test_unseen[0] + "_mirrored") == "test_unseen"
    assert MYODM.part_of("fryingpan_cook2") == "excluded"
    with pytest.raises(InputError, match="in no part"):
        MYODM.part_of("bottle_lift")


@pytest.mark.parametrize(
    ("flag", "excluded"),
    [
        ("bad input: no fingertip is within 26 mm of the object while it moves (median)", True),
        ("table: the object goes 31 mm below it", True),
        ("table: the object goes 30 mm below it", False),
        ("table: the hand goes 198 mm below it", False),
        ("fast: the object reaches 3.2 m/s", False),
        ("frame 0 dropped: the object jumps 29.1 mm to frame 1", False),
    ],
)
def test_what_is_excluded(flag: str, excluded: bool) -> None:
    split = derive("some", {"apple_lift": ("not of interest", flag), "apple_pass1": ()})
    assert ("apple_lift" in split.excluded) == excluded
    assert split.excluded.get("apple_lift", flag) == flag, "the reason is told"


@pytest.mark.parametrize(("name", "words"), [("human_lift", "scenery"), ("table_lift", "scenery"), ("spaceship_lift", "in no category")])
def test_scenery_and_strangers_are_refused(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        derive("some", {name: (), "hand_lift": ()})


def test_an_unknown_data_set() -> None:
    with pytest.raises(InputError, match="no split"):
        load("grab")
