"""Finding the motor of a joint: least squares between its measured step responses and those that MuJoCo simulates."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from dextrack.errors import RefusedError
from dextrack.hands.motors import MotorValues
from dextrack.hands.spec import HandSpec
from dextrack_calibration.motors.excite import HOLD_S, Response
from dextrack_calibration.motors.finger import Finger
from dextrack_calibration.motors.plan import Move, Plan

Floats = NDArray[np.float64]

READING_RAD = 0.001
"""Standard deviation of an encoder's reading, rad: 1/4096 turn, and what a gear's play adds."""
CLOCK_S = 0.0002
"""Standard deviation of a stamp whose read was not late, s: the wire, and the motor's own loop."""
DELAYS_S = (0.002, 0.01, 0.02, 0.035, 0.055)
"""Where the search for the delay begins: from the best of these it finds its way."""
HIGHEST = (200.0, 20.0, 5.0, 0.12)
LOWEST = (0.1, 0.005, 0.01, 0.0)
"""Bounds of kp, N m/rad, kv, N m s/rad, effort, N m, and delay, s."""
SCALE = (0.3, 0.3, 0.3, 0.005, 0.02, 0.02)
"""What is a considerable change of each parameter."""
STEP = (0.01, 0.01, 0.01, 2e-4, 1e-3, 1e-3)
"""Step of its derivative."""
LOAD_NM = 0.3
"""Bound of the constant torque beside gravity's (a cable, a palm that hangs otherwise than said)."""
FRICTION_NM = 0.3
"""Bound of the dry friction."""
WORST_ERROR = 0.15
"""A kp, kv or effort with a greater relative standard error is not known."""
WORST_DELAY_S = 0.005
"""Nor is a delay with a greater standard error."""
WORST_RESIDUAL = 0.06
"""Residual, as a part of each step, above which the responses are not those of such a motor."""
NAMES = ("kp", "kv", "effort", "delay", "load", "friction")


@dataclasses.dataclass(frozen=True)
class MotorFit:
    """The motor of a joint, how well it is known, and the responses behind it."""

    joint: str
    motor: MotorValues
    load: float
    """Constant torque on the joint beside gravity's, N m."""
    error: dict[str, float]
    """Standard error of each of ``NAMES``, in its unit: from the Jacobian, scaled by the residuals."""
    residual_rad: float
    """Root mean square of measured minus simulated, over all samples, rad."""
    residual_part: float
    """The same, each response by the size of its step."""
    rate_hz: float
    """Samples per second."""
    responses: tuple[Response, ...]
    fitted: tuple[tuple[Floats, Floats], ...]
    """For each response: (time (n,), s since the target was sent; simulated position (n,), rad)."""


class _Problem:
    """Residuals of a joint's responses as a function of (log kp, log kv, log effort, delay, load, friction)."""

    def __init__(self, finger: Finger, responses: Sequence[Response]) -> None:
        self._finger, self.responses = finger, tuple(responses)
        # Repeats of a step are one simulation, from where the joint rested on average.
        rests: dict[Move, list[float]] = {}
        for r in responses:
            rests.setdefault(r.move, []).append(r.rest)
        self._moves = tuple(rests)
        self._rests = [float(np.mean(rests[m])) for m in self._moves]
        self._row = [self._moves.index(r.move) for r in responses]
        self.weights: list[Floats] = [1.0 / (READING_RAD * np.sqrt(_repeats(r.position))) for r in responses]
        self._last: tuple[bytes, tuple[Floats, Floats]] | None = None

    def simulated(self, x: Floats) -> list[tuple[Floats, Floats]]:
        """For each response: (time since the target was sent, position), finely sampled."""
        motor, load = values(x)
        # The search asks about a point several times over, and the delay only shifts the time.
        key = np.delete(x, NAMES.index("delay")).tobytes()
        if self._last is None or self._last[0] != key:
            self._last = key, self._finger.respond(motor, load, self._moves, self._rests, HOLD_S + 0.05)
        time, position = self._last[1]
        return [(time + motor.delay, position[row]) for row in self._row]

    def misfit(self, x: Floats) -> list[Floats]:
        """Measured minus simulated of each response, rad. What a joint did before it heard its target is where it rested."""
        return [r.position - np.interp(r.time, t, q) for r, (t, q) in zip(self.responses, self.simulated(x), strict=True)]

    def __call__(self, x: Floats) -> Floats:
        """Weighted residuals. When each step's target was sent is known within its ``onset`` only, so each may be a little earlier or later, at a price."""
        out = []
        for r, w, (t, q) in zip(self.responses, self.weights, self.simulated(x), strict=True):
            misfit = r.position - np.interp(r.time, t, q)
            speed = np.interp(r.time, t, np.gradient(q, t))
            price = 1.0 / np.hypot(CLOCK_S, r.onset / np.sqrt(12.0))
            later = -np.sum(w**2 * speed * misfit) / (np.sum(w**2 * speed**2) + price**2)
            out += [w * (misfit + speed * later), [price * later]]
        return np.concatenate(out)

    def jacobian(self, x: Floats) -> Floats:
        """Derivatives of the residuals, (residuals, 6): by differences wide enough that physics steps and its solver's tolerance do not show in them."""
        here = self(x)
        # The delay first: it needs no further simulation.
        columns = {n: (self(x + step) - here) / step.sum() for n, step in sorted(enumerate(np.diag(STEP)), key=lambda one: one[0] != NAMES.index("delay"))}
        return np.stack([columns[n] for n in range(len(x))], axis=1)

    def weigh(self, x: Floats) -> None:
        """Let samples count by their reading's error and, where the joint is fast, by their clock's."""
        for n, (r, (t, q)) in enumerate(zip(self.responses, self.simulated(x), strict=True)):
            speed = np.interp(r.time, t, np.gradient(q, t))
            self.weights[n] = 1.0 / np.sqrt(_repeats(r.position) * READING_RAD**2 + speed**2 * (CLOCK_S**2 + r.spread**2))


def _repeats(position: Floats) -> Floats:
    """For each sample, how many in a row read the same: together they say as much as one, for they share the error of the encoder's count."""
    runs = np.flatnonzero(np.concatenate([[True], np.diff(position) != 0.0, [True]]))
    lengths = np.diff(runs)
    return np.repeat(lengths, lengths).astype(np.float64)


def values(x: Floats) -> tuple[MotorValues, float]:
    """(motor, load N m) of what the search varies."""
    kp, kv, effort = np.exp(x[:3])
    return MotorValues(float(kp), float(kv), float(effort), float(x[3]), float(x[5])), float(x[4])


def fit_joint(hand: HandSpec, plan: Plan, responses: Sequence[Response], gravity_h: ArrayLike) -> MotorFit:
    """The motor of the plan's joint.

    Args:
        hand: its model's inertias are believed; its gains are only where the search begins.
        plan: what was asked of the joint.
        responses: what it did.
        gravity_h: gravity in the wrist frame, (3,) m/s^2.

    Raises:
        RefusedError: the responses are not those of such a motor, or do not tell its parameters.
    """
    problem = _Problem(Finger(hand, plan.joint, plan.pose, gravity_h), responses)
    lower, upper = _bounds()
    start = np.array([np.log(hand.finger_kp), np.log(hand.finger_kv), np.log(hand.effort[plan.index]), 0.0, 0.0, 0.002])
    starts = [np.where(np.arange(6) == 3, delay, start) for delay in DELAYS_S]
    x = min(starts, key=lambda s: float(np.sum(np.square(problem(s)))))
    # First as if the clock were perfect; then with the speeds that this found.
    for _ in range(2):
        found = least_squares(problem, x, problem.jacobian, (lower, upper), loss="soft_l1", x_scale=SCALE, ftol=1e-5, xtol=1e-5, max_nfev=40)
        x = found.x
        problem.weigh(x)
    fit = _judged(plan.joint, problem, x, found.jac)
    _require_known(fit, x)
    return fit


def _bounds() -> tuple[Floats, Floats]:
    lower = np.concatenate([np.log(LOWEST[:3]), [LOWEST[3], -LOAD_NM, 0.0]])
    upper = np.concatenate([np.log(HIGHEST[:3]), [HIGHEST[3], LOAD_NM, FRICTION_NM]])
    return lower, upper


def _judged(joint: str, problem: _Problem, x: Floats, jacobian: Floats) -> MotorFit:
    motor, load = values(x)
    weighted, misfit = problem(x), problem.misfit(x)
    scale = float(np.sum(np.square(weighted))) / max(1, len(weighted) - len(x))
    covariance = scale * np.linalg.pinv(jacobian.T @ jacobian)
    spread = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    unit = np.array([motor.kp, motor.kv, motor.effort, 1.0, 1.0, 1.0])
    parts = [m / (r.move.target - r.move.start) for m, r in zip(misfit, problem.responses, strict=True)]
    seconds = sum(float(r.time[-1] - r.time[0]) for r in problem.responses)
    return MotorFit(
        joint=joint,
        motor=motor,
        load=load,
        error=dict(zip(NAMES, (spread * unit).tolist(), strict=True)),
        residual_rad=_rms(misfit),
        residual_part=_rms(parts),
        rate_hz=len(weighted) / seconds,
        responses=problem.responses,
        fitted=tuple(problem.simulated(x)),
    )


def _rms(parts: Sequence[Floats]) -> float:
    return float(np.sqrt(np.mean(np.square(np.concatenate(parts)))))


def _require_known(fit: MotorFit, x: Floats) -> None:
    """Raise RefusedError where the fit is none."""
    remedy = "look at its picture; check that nothing touches the finger, that its screws are tight and that the machine is idle; measure again."
    if fit.residual_part > WORST_RESIDUAL:
        what = f"joint {fit.joint}: measured and simulated steps differ by {fit.residual_part:.1%}, more than {WORST_RESIDUAL:.0%}"
        raise RefusedError(f"{what}: it does not move as a position-controlled motor with its model's inertia.", remedy=remedy)
    lower, upper = _bounds()
    for name, at, low, high in zip(NAMES, x, lower, upper, strict=True):
        if at > high - 1e-3 * (high - low) or (name not in ("delay", "friction") and at < low + 1e-3 * (high - low)):
            raise RefusedError(f"joint {fit.joint}: the search for {name} ended at its bound, {getattr(fit.motor, name, fit.load):.3g}.", remedy=remedy)
    for name in NAMES[:3]:
        part = fit.error[name] / getattr(fit.motor, name)
        if part > WORST_ERROR:
            raise RefusedError(f"joint {fit.joint}: its {name} is known to {part:.0%} only, and {WORST_ERROR:.0%} are wanted.", remedy=remedy)
    if fit.error["delay"] > WORST_DELAY_S:
        raise RefusedError(f"joint {fit.joint}: its delay is known to {1e3 * fit.error['delay']:.1f} ms only.", remedy=remedy)
