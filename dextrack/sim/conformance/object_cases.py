"""Cases with an object: free fall, frames and quaternions, friction, a grasp."""

from __future__ import annotations

import numpy as np

from dextrack import rotations
from dextrack.sim.conformance.case import GRAVITY, UPRIGHT, Maker, Outcome, at_rest, poses, run_for
from dextrack.sim.conformance.grasp import grasp_of
from dextrack.sim.conformance.shapes import ball, box
from dextrack.sim.physics import Physics


def free_fall(make: Maker) -> Outcome:
    """A ball falls g t^2 / 2, with what an integrator of first order may add or leave out: g t h / 2 for substeps h."""
    physics, steps, tolerance = Physics(), 30, 0.002
    backend = make(ball(0.025, 0.1), physics=physics, table=False)
    away = at_rest(make.hand, x=1.0)
    backend.reset(away, *poses([0.0, 0.0, 2.0], 1))
    run_for(backend, away, steps)
    t, h = steps * backend.period, backend.period / physics.substeps
    fallen, expected = 2.0 - float(backend.state().object_position_w[0, 2]), 0.5 * GRAVITY * t * t
    allowed = 0.5 * GRAVITY * t * h + tolerance * expected
    return Outcome(abs(fallen - expected) <= allowed, "%.4f m in %.2f s, expected %.4f within %.4f" % (fallen, t, expected, allowed))


def object_frames(make: Maker) -> Outcome:
    """A turned ball, thrown and spinning: its quaternion is wxyz, and both velocities are in the world frame, in and out."""
    steps, tolerance, turn_tolerance = 20, 0.002, 0.02
    backend = make(ball(0.025, 0.1), table=False)
    away = at_rest(make.hand, x=1.0)
    turned = rotations.from_rotation_vector(np.array([0.9, 0.4, -0.3]))
    velocity = np.array([0.5, -0.2, 1.0, 1.0, -2.0, 3.0])
    backend.reset(away, *poses([0.0, 0.0, 1.0], 1, turned), object_velocity_w=velocity[None])
    run_for(backend, away, steps)
    state, t = backend.state(), steps * backend.period
    expected = rotations.multiply(rotations.from_rotation_vector(t * velocity[3:]), turned)
    # A ball's inertia is the same about every axis, so nothing changes its spin.
    turn = float(rotations.angle(state.object_quaternion_w[0], expected))
    spin = float(np.abs(state.object_angular_velocity_w[0] - velocity[3:]).max())
    way = float(np.abs(state.object_position_w[0, :2] - t * velocity[:2]).max())
    figure = "after %.2f s: pose off by %.4f rad (at most %.2f) and %.2f mm sideways (at most %.0f), spin by %.4f rad/s (at most %.2f)"
    passed = turn <= turn_tolerance and spin <= turn_tolerance and way <= tolerance
    return Outcome(bool(passed), figure % (t, turn, turn_tolerance, 1e3 * way, 1e3 * tolerance, spin, turn_tolerance))


def friction_cone(make: Maker) -> Outcome:
    """A box that slides at 1 m/s over the table stops after v^2 / (2 mu g), whatever its mass; ``vary`` sets mu for each world."""
    friction, speed, tolerance = 0.4, 1.0, 0.05
    scales = np.array([1.0, 0.5, 0.5])
    backend = make(box((0.10, 0.10, 0.03), 0.2, friction), n_worlds=3)
    backend.vary(scales, np.array([1.0, 1.0, 2.0]))
    away = at_rest(make.hand, 3, x=-1.0)
    backend.reset(away, *poses([0.0, 0.0, 0.015], 3), object_velocity_w=np.tile([speed, 0.0, 0.0, 0.0, 0.0, 0.0], (3, 1)))
    run_for(backend, away, 45)
    slid = backend.state().object_position_w[:, 0]
    expected = speed**2 / (2.0 * friction * scales * GRAVITY)
    ways = ", ".join("%.1f of %.1f cm (mu %.1f)" % (100 * s, 100 * e, friction * k) for s, e, k in zip(slid, expected, scales))
    return Outcome(bool(np.abs(slid / expected - 1.0).max() <= tolerance), "stops after %s; within %.0f %%" % (ways, 100 * tolerance))


def held_sphere(make: Maker) -> Outcome:
    """A ball on the table is grasped, lifted and held for 2 s; the wrist then sags by its weight, which ``vary`` doubles in one world.

    It sinks into the grasp as it is lifted: by 1.5 and 1.9 cm in MuJoCo, and by 1.6 and 2.5 cm where fingers that touch each other rub, which then press less.
    """
    hand, mass, settling, tolerance, sag_tolerance = make.hand, 0.1, 0.03, 0.01, 0.1
    grasp = grasp_of(hand.name)
    backend = make(ball(grasp.radius, mass), n_worlds=2)
    backend.vary(np.ones(2), np.array([1.0, 2.0]))
    opened, closed = (np.tile(theta, (2, 1)) for theta in grasp.thetas(hand))
    backend.reset(opened, *poses([0.0, 0.0, grasp.radius], 2, UPRIGHT))
    lifted = closed.copy()
    lifted[:, 2] += grasp.lift
    for n in range(40):
        backend.step(opened + (closed - opened) * (n + 1) / 40)
    run_for(backend, closed, 20)
    for n in range(30):
        backend.step(closed + (lifted - closed) * (n + 1) / 30)
    run_for(backend, lifted, 30)
    before = backend.state().object_position_w.copy()
    run_for(backend, lifted, 120)
    state = backend.state()
    slip, height = np.linalg.norm(state.object_position_w - before, axis=1), state.object_position_w[:, 2] - grasp.radius
    sag, weight = lifted[:, 2] - state.hand[:, 2], np.array([1.0, 2.0]) * mass * GRAVITY / hand.wrist_kp[0]
    figure = (
        "%.1f and %.1f cm up (lifted %.0f, within %.0f), slips %.1f and %.1f mm in 2 s (at most %.0f); "
        "wrist sags %.2f and %.2f mm, expected %.2f and %.2f within %.0f %%"
    )
    numbers = (*(100 * height), 100 * grasp.lift, 100 * settling, *(1e3 * slip), 1e3 * tolerance, *(1e3 * sag), *(1e3 * weight), 100 * sag_tolerance)
    held = bool((np.abs(height - grasp.lift) <= settling).all() and (slip <= tolerance).all())
    return Outcome(held and bool((np.abs(sag / weight - 1.0) <= sag_tolerance).all()), figure % numbers)
