from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dextrack import rotations
from dextrack.errors import InputError
from dextrack.objects.symmetry import SPHERE, Symmetry

NUMBERS = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1)


def turn(axis: str, degrees: float) -> np.ndarray:
    return rotations.from_rotation_vector(np.radians(degrees) * np.eye(3)["xyz".index(axis)])


@pytest.mark.parametrize(
    ("text", "size"),
    [("none", 1), ("x2", 2), ("z4", 4), ("x2,y2", 4), ("z3,x2", 6), ("z4,x2", 8), ("z6,x2", 12), ("z4,x4", 24), ("z", 1), ("z,x2", 2), ("sphere", 1)],
)
def test_groups_have_their_size(text: str, size: int) -> None:
    """The orders of the cyclic, dihedral and octahedral groups; with a free axis, the number of its cosets."""
    symmetry = Symmetry.parse(text)
    group = symmetry.representatives()
    assert len(group) == size and str(symmetry) == text
    products = rotations.multiply(group[:, None], group)
    assert symmetry.angle(products, group[0]).max() < 1e-6, "a product belongs to it"


@settings(deadline=None)
@given(NUMBERS, NUMBERS)
def test_the_angle_is_the_least_over_the_group(q: tuple[float, ...], r: tuple[float, ...]) -> None:
    """Against trying every half degree, and every half turn across."""
    a, b = rotations.normalise(q), rotations.normalise(r)
    about_z = rotations.from_rotation_vector(np.radians(np.arange(0, 360, 0.5))[:, None] * np.array([0.0, 0, 1]))
    flipped = rotations.multiply(about_z, turn("x", 180))
    for text, group in (("z", about_z), ("z,x2", np.concatenate([about_z, flipped])), ("z4", about_z[::180]), ("none", about_z[:1])):
        tried = rotations.angle(a, rotations.multiply(b, group)).min()
        exact = float(Symmetry.parse(text).angle(a, b))
        assert exact <= tried + 1e-9 and tried <= exact + np.radians(0.26)
    assert SPHERE.angle(a, b) == pytest.approx(0.0, abs=1e-12)


def test_the_angle_of_known_turns() -> None:
    """A bottle turned about itself is where it was; tilted by 30 degrees, it is off by 30, wherever its label looks."""
    bottle, cylinder = Symmetry.parse("z"), Symmetry.parse("z,x2")
    upright = rotations.normalise([0.3, -0.5, 0.2, 0.7])
    turned = rotations.multiply(upright, turn("z", 77))
    tilted = rotations.multiply(turned, turn("y", 30))
    assert bottle.angle(turned, upright) == pytest.approx(0.0, abs=1e-9)
    assert np.degrees(bottle.angle(tilted, upright)) == pytest.approx(30.0)
    upside_down = rotations.multiply(turned, turn("y", 180))
    assert np.degrees(bottle.angle(upside_down, upright)) == pytest.approx(180.0)
    assert cylinder.angle(upside_down, upright) == pytest.approx(0.0, abs=1e-9)
    assert bottle.angle(np.tile(turned, (2, 3, 1)), np.tile(upright, (2, 3, 1))).shape == (2, 3)


def test_an_oblique_axis_comes_back_from_its_array() -> None:
    axis = np.array([1.0, 2.0, 2.0]) / 3
    symmetry = Symmetry((((axis[0], axis[1], axis[2]), 5),))
    assert Symmetry.from_array(symmetry.as_array()) == symmetry and len(symmetry.representatives()) == 5
    assert Symmetry.from_array(Symmetry().as_array()) == Symmetry()
    assert str(symmetry) == "(0.33 0.67 0.67)5"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not understood"),
        ("w2", "not understood"),
        ("z1", "order 1"),
        ("z99", "order 99"),
        ("z-2", "not understood"),
        ("z,x4", "half turns"),
        ("z7,x5", "more than"),
    ],
)
def test_what_is_no_symmetry_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Symmetry.parse(text)


@pytest.mark.parametrize("array", [np.zeros((2, 3)), np.zeros((1, 4)), np.array([[0, 0, 1, 2.5]]), np.array([[0, 0, np.nan, 2]]), np.zeros(4)])
def test_a_strange_array_is_refused(array: np.ndarray) -> None:
    with pytest.raises(InputError, match="symmetry"):
        Symmetry.from_array(array)
