"""Cases of the hand alone: order of joints, limits, effort, gravity compensation, response of the PD controllers."""

from __future__ import annotations

import numpy as np

from dextrack.sim.backend import Floats
from dextrack.sim.conformance.case import GRAVITY, Maker, Outcome, at_rest, run_for
from dextrack.sim.conformance.model import HandModel
from dextrack.sim.physics import Physics

FINE = 8
"""Substeps where an engine is compared with a closed form: each integrator errs in its own way, and all err less in short steps."""


def joint_order(make: Maker) -> Outcome:
    """One world per joint: its target moves, it alone follows, and the pads are where the hand's model has them."""
    hand, step, tolerance, tip_tolerance = make.hand, 0.1, 0.005, 0.001
    backend = make(n_worlds=hand.dof, table=False)
    if tuple(backend.joint_names) != hand.joint_names:
        return Outcome(False, "columns of theta are %s, expected %s" % (" ".join(backend.joint_names), " ".join(hand.joint_names)))
    start = at_rest(hand, hand.dof)
    backend.reset(start)
    run_for(backend, start + step * np.eye(hand.dof), 60)
    state = backend.state()
    off = np.abs(state.hand - start - step * np.eye(hand.dof))
    _, joint = np.unravel_index(int(off.argmax()), off.shape)
    # The pads are compared at the angles that the engine says it reached: the model and the engine then differ in geometry alone.
    tips = float(np.linalg.norm(state.tips_w - HandModel(hand).tips(state.hand), axis=-1).max())
    figure = "theta within %.4f of one joint moved by %.1f (worst: %s; at most %.3f); " % (off.max(), step, hand.joint_names[joint], tolerance)
    figure += "pads within %.2f mm of the model's (at most %.0f)" % (1e3 * tips, 1e3 * tip_tolerance)
    return Outcome(bool(off.max() <= tolerance and tips <= tip_tolerance), figure)


def limits(make: Maker) -> Outcome:
    """Each finger joint is driven 0.5 rad beyond either limit, in a world of its own: it comes to rest at its limit."""
    hand, beyond, tolerance, overshoot = make.hand, 0.5, 0.05, 0.25
    n = len(hand.finger_joints)
    backend = make(n_worlds=2 * n, table=False)
    start = at_rest(hand, 2 * n)
    targets = start.copy()
    lower, upper = hand.limits()
    joints = np.arange(6, 6 + n)
    targets[np.arange(n), joints] = lower[joints] - beyond
    targets[n + np.arange(n), joints] = upper[joints] + beyond
    backend.reset(start)
    excess = []
    for _ in range(90):
        backend.step(targets)
        now = backend.state().hand
        excess.append(float(np.maximum(now - upper, lower - now)[:, 6:].max()))
    reached = np.concatenate([now[np.arange(n), joints] - lower[joints] < tolerance, upper[joints] - now[n + np.arange(n), joints] < tolerance])
    # A limit is soft, so a fast joint runs into it and comes back. Some joints are stopped by another finger or the palm before they are there.
    figure = "rests %.4f rad beyond (at most %.2f), after %.3f (at most %.2f); %d of %d limits reached (at least half)"
    passed = excess[-1] <= tolerance and np.max(excess) <= overshoot and reached.mean() >= 0.5
    return Outcome(bool(passed), figure % (excess[-1], tolerance, np.max(excess), overshoot, reached.sum(), 2 * n))


def effort_clamp(make: Maker) -> Outcome:
    """Far from its target, a fingertip's joint accelerates with effort / armature, and the wrist's slide with effort / mass."""
    hand, scale, tolerance = make.hand, 0.1, 0.1
    joint, inertia = HandModel(hand).last_joint(1)
    backend = make(physics=Physics(substeps=FINE, effort_scale=scale), table=False)
    effort = hand.gains()[2]
    finger, slide = hand.joint_names.index(joint), _along_the_fingers(make)
    start = at_rest(hand)
    ratios = []
    # Each joint is sampled where the PD law without a clamp would still ask for several times the effort limit.
    for i, far, expected, steps in ((finger, 1.0, scale * effort[finger] / inertia, 4), (slide, 1.0, effort[slide] / hand.mass, 2)):
        targets = start.copy()
        targets[0, i] += far * _sense(make, i)
        backend.reset(start)
        run_for(backend, targets, steps)
        moved = float(abs(backend.state().hand[0, i] - start[0, i]))
        # Half a substep lies between the usual ways to integrate; their middle is compared.
        t, h = steps * backend.period, backend.period / FINE
        ratios.append(moved / (0.5 * expected * t * (t + 0.5 * h)))
    figure = "acceleration over effort / inertia: joint %s %.3f, %s %.3f (expected 1, within %.2f)" % (
        joint,
        ratios[0],
        hand.joint_names[slide],
        ratios[1],
        tolerance,
    )
    return Outcome(all(abs(r - 1.0) <= tolerance for r in ratios), figure)


def gravity_compensation(make: Maker) -> Outcome:
    """The compensated hand stays; with gravity on the hand, the wrist sags by its weight over its stiffness."""
    hand, tolerance = make.hand, 0.05
    start = at_rest(hand)
    off = []
    for gravity in (False, True):
        backend = make(physics=Physics(hand_gravity=gravity), table=False)
        backend.reset(start)
        run_for(backend, start, 90)
        off.append(backend.state().hand[0] - start[0])
    still, sag = float(np.abs(off[0]).max()), -float(off[1][2])
    expected = hand.mass * GRAVITY / hand.wrist_kp[0]
    figure = "compensated: theta moves %.5f (at most 0.001); not compensated: sags %.2f mm, expected %.2f within %.0f %%"
    passed = still <= 1e-3 and abs(sag / expected - 1.0) <= tolerance
    return Outcome(bool(passed), figure % (still, 1e3 * sag, 1e3 * expected, 100 * tolerance))


def pd_response(make: Maker) -> Outcome:
    """A small step of the target: the wrist's slide and a fingertip's joint follow m x'' = kp (target - x) - kv x'."""
    hand, step, tolerance = make.hand, 0.01, 0.05
    joint, inertia = HandModel(hand).last_joint(1)
    kp, kv, _ = hand.gains()
    backend = make(physics=Physics(substeps=FINE), table=False)
    start = at_rest(hand)
    worst = []
    for i, mass in ((_along_the_fingers(make), hand.mass), (hand.joint_names.index(joint), inertia)):
        targets = start.copy()
        targets[0, i] += step
        backend.reset(start)
        moved = []
        for _ in range(12):
            backend.step(targets)
            moved.append(float(backend.state().hand[0, i] - start[0, i]) / step)
        expected = step_response(mass, kp[i], kv[i], backend.period * np.arange(1.0, 13.0))
        worst.append(float(np.abs(np.array(moved) - expected).max()))
    figure = "off the closed form by %.3f of the step (wrist) and %.3f (joint %s); at most %.2f" % (worst[0], worst[1], joint, tolerance)
    return Outcome(all(w <= tolerance for w in worst), figure)


def step_response(mass: float, kp: float, kv: float, time: Floats) -> Floats:
    """Way (n,) at ``time`` (n,) s of a mass (kg or kg m2) under a PD controller whose target jumps from 0 to 1; at rest before."""
    root = np.sqrt(complex(kv * kv - 4.0 * mass * kp))
    slow, fast = (-kv + root) / (2.0 * mass), (-kv - root) / (2.0 * mass)
    response: Floats = (1.0 - (fast * np.exp(slow * time) - slow * np.exp(fast * time)) / (fast - slow)).real
    return response


def _along_the_fingers(make: Maker) -> int:
    """The slide that runs along the fingers: pushed that way they swing least, and the hand is nearly one mass."""
    return int(np.abs(make.hand.palm_axes_h[0]).argmax())


def _sense(make: Maker, i: int) -> float:
    """The sense in which joint ``i`` of theta has more way from the open pose to its limit; slides have the same both ways."""
    lower, upper = make.hand.limits()
    now = at_rest(make.hand)[0, i]
    return 1.0 if i < 6 or upper[i] - now >= now - lower[i] else -1.0
