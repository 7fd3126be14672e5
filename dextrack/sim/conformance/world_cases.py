"""Cases of many worlds: the time step, resets, determinism, and one bad world among good ones."""

from __future__ import annotations

from typing import Callable, List, Optional

import numpy as np

from dextrack.sim.backend import Backend, Floats
from dextrack.sim.conformance.case import UPRIGHT, Maker, Outcome, at_rest, poses
from dextrack.sim.conformance.shapes import ball, box
from dextrack.sim.physics import Physics

WORLDS = 3
STEPS = 20
APART = 1e-3
"""Largest difference of two equal runs that still passes, m and rad: a GPU adds in any order, and a touch makes little differences grow."""
_EXTENT = (0.05, 0.06, 0.08)
_PLACE = (0.06, 0.0, 0.04)
"""Where the box stands, m: under the open hand, which pushes it about."""


def time_step(make: Maker) -> Outcome:
    """A thrown ball's way says how long a control step is, for two periods and numbers of substeps."""
    steps, speed, tolerance = 10, 1.0, 1e-3
    off, told = [], []
    for period, substeps in ((1.0 / 60.0, 2), (1.0 / 50.0, 3)):
        backend = make(ball(0.025, 0.1), physics=Physics(period=period, substeps=substeps), table=False)
        away = at_rest(make.hand, x=-1.0)
        backend.reset(away, *poses([0.0, 0.0, 1.0], 1), object_velocity_w=np.array([[speed, 0.0, 0.0, 0.0, 0.0, 0.0]]))
        for _ in range(steps):
            backend.step(away)
        off.append(float(backend.state().object_position_w[0, 0]) / (steps * speed * period))
        told.append(abs(backend.period / period - 1.0) <= 1e-9)
    figure = "measured over asked for: %.4f at 1/60 s, %.4f at 1/50 s (expected 1, within %.3f); the backend tells the period it was given: %s"
    passed = all(told) and all(abs(o - 1.0) <= tolerance for o in off)
    return Outcome(passed, figure % (off[0], off[1], tolerance, "yes" if all(told) else "no"))


def reset_isolation(make: Maker) -> Outcome:
    """Two of three worlds are reset in mid-run: they begin where they were told, and the third goes on as if nothing had been."""
    hand = make.hand
    backend = make(box(_EXTENT, 0.1), n_worlds=WORLDS)
    undisturbed = _episode(backend, make)
    ids = np.array([0, 2])
    start = at_rest(hand, 2, z=0.3)
    start[1, 0] = 0.2
    positions = np.array([[0.3, 0.0, 0.04], [0.4, 0.1, 0.04]])
    put = []

    def reset(n: int) -> None:
        if n == STEPS // 2:
            backend.reset(start, positions, np.tile(UPRIGHT, (2, 1)), worlds=ids)
            state = backend.state()
            put.append(np.abs(state.hand[ids] - start).max() + np.abs(state.object_position_w[ids] - positions).max() + np.abs(state.hand_velocity[ids]).max())

    disturbed = _episode(backend, make, reset)
    apart, placed = float(np.abs(disturbed[:, 1] - undisturbed[:, 1]).max()), float(put[0])
    figure = "the other world: %s; reset worlds off their new state by %.1e (at most 1e-5)"
    return Outcome(apart <= APART and placed <= 1e-5, figure % (_apart(apart), placed))


def determinism(make: Maker) -> Outcome:
    """The same targets from the same states again: on the same backend, and on another that is made alike."""
    backend = make(box(_EXTENT, 0.1), n_worlds=WORLDS)
    seconds = STEPS * backend.period
    runs = [_episode(backend, make), _episode(backend, make)]
    runs.append(_episode(make(box(_EXTENT, 0.1), n_worlds=WORLDS), make))
    again, anew = (float(np.abs(run - runs[0]).max()) for run in runs[1:])
    moved = float(np.abs(runs[0][-1] - runs[0][0]).max())
    figure = "run again: %s; made anew: %s; over %.2f s in which theta or object moves %.2f"
    # Each by itself: max() of Python loses a NaN.
    return Outcome(again <= APART and anew <= APART and moved > 10 * APART, figure % (_apart(again), _apart(anew), seconds, moved))


def nan_containment(make: Maker) -> Outcome:
    """World 1 of three gets a state that is no number: it is reported, alone; the others go on; a reset mends it. Targets that are none harm only it."""
    hand = make.hand
    backend = make(box(_EXTENT, 0.1), n_worlds=WORLDS)
    undisturbed = _episode(backend, make)
    reported: List[int] = []

    def spoil(n: int) -> None:
        if n == STEPS // 4:
            poison = np.full((1, hand.dof), np.nan)
            backend.reset(poison, np.array([_PLACE]), UPRIGHT[None], worlds=np.array([1]), targets=at_rest(hand))
        if n == STEPS // 4 + 3:
            reported.extend(int(w) for w in backend.bad_worlds())

    others = [0, 2]
    spoilt = _episode(backend, make, spoil)
    mended = _episode(backend, make)
    left = [int(w) for w in backend.bad_worlds()]
    bad_targets = _episode(backend, make, nan_targets_from=STEPS // 2)
    apart = [float(np.abs(run - undisturbed)[:, worlds].max()) for run, worlds in ((spoilt, others), (mended, [0, 1, 2]), (bad_targets, others))]
    figure = "reported bad: %s (expected [1]), after a reset %s (expected []); the others: %s; all after the reset: %s; beside targets of NaN: %s"
    # Written so that a NaN in a world that should have none fails too.
    passed = reported == [1] and left == [] and all(a <= APART for a in apart)
    return Outcome(passed, figure % (reported, left, *(_apart(a) for a in apart)))


def _episode(backend: Backend, make: Maker, meddle: Optional[Callable[[int], None]] = None, nan_targets_from: int = STEPS) -> Floats:
    """Run every world from one state with targets of its own; ``meddle(n)`` is called before step n.

    Returns:
        (STEPS, WORLDS, 25): theta and the object's position after each step.
    """
    start = at_rest(make.hand, WORLDS, z=0.15)
    backend.reset(start, *poses(_PLACE, WORLDS))
    rng = np.random.default_rng(0)
    out = []
    for n in range(STEPS):
        if meddle is not None:
            meddle(n)
        targets = start + 0.05 * rng.normal(size=start.shape)
        if n >= nan_targets_from:
            targets[1] = np.nan
        backend.step(targets)
        state = backend.state()
        out.append(np.concatenate([state.hand, state.object_position_w], axis=1))
    return np.array(out)


def _apart(difference: float) -> str:
    """A difference of two runs in words."""
    return "equal bit for bit" if difference == 0.0 else "apart by %.1e (at most %.0e)" % (difference, APART)
