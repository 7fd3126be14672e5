"""Collisions of arm, hand and table in poses where one sees what must touch."""

import numpy as np
import pytest
from dextrack_deploy.arm.collision import CellCollisions
from dextrack_deploy.arm.inverse import InverseKinematics
from dextrack_deploy.cell import load_cell

OPEN = np.zeros(16)


@pytest.fixture(scope="module", params=("twin", "twin_panda"))
def cell(request):
    return load_cell(request.param)


@pytest.fixture(scope="module")
def inverse(cell):
    return InverseKinematics(cell)


def over_table(inverse, height):
    """Joint positions with the palm flat, facing down, its origin ``height`` m over the table."""
    found = inverse.solve([0.0, 0.1, height], [np.cos(0.7), 0.0, 0.0, np.sin(0.7)])
    assert found.position_error < 1e-4
    return found.q


def test_nothing_touches_well_above_the_table(cell, inverse):
    assert CellCollisions(cell)(over_table(inverse, 0.25), OPEN) is None


def test_a_hand_on_the_table_is_seen_unless_it_may(cell, inverse):
    q = over_table(inverse, 0.02)
    assert "table" in CellCollisions(cell)(q, OPEN)
    assert CellCollisions(cell, hand_and_table=False)(q, OPEN) is None


def test_an_arm_in_the_table_is_seen_either_way(cell):
    low = np.array([0.0, 1.6, 0.0, -0.6, 0.0, 1.8, 0.0])
    for hand_and_table in (True, False):
        touching = CellCollisions(cell, hand_and_table)(low, OPEN)
        assert "table" in touching and f"{cell.arm.model}_link" in touching


def test_hand_against_arm_is_seen(cell, inverse):
    folded = np.array([0.0, -0.2, 0.0, -2.9, 0.0, 0.7, 2.4])
    assert CellCollisions(cell)(folded, OPEN) is not None


def test_a_fist_harms_nobody(cell, inverse):
    fist = np.array([0.0, 2.0, 1.8, 1.8] * 3 + [1.0, 1.0, 1.0, 1.0])
    assert CellCollisions(cell)(over_table(inverse, 0.3), fist) is None
