"""The shadow simulator: the simulated hand in the control loop.

The cell does not follow a controller's targets directly. Each target first moves a simulated hand, with the gains, effort limits and period with which
demonstrations were mined; the state that it reaches is what arm and hand are asked for (paper, real-world set-up).
It holds the hand only: with the object in it, the fingers would stop at the surface and the squeeze would vanish.

Any backend can be behind it, in this process or, as ``remote``, in another one or another Python: the paper's own loop runs Isaac Gym.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dextrack.errors import DriverError, InputError, RefusedError, SimulationError
from dextrack.hands.spec import HandSpec
from dextrack.references.reference import CONTROL_PERIOD
from dextrack.sim import make_backend
from dextrack.sim.backend import warm
from dextrack.sim.physics import Physics

Floats = NDArray[np.float64]

TIMED = 7
"""Steps by whose median a backend is judged."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """What is behind a shadow simulator."""

    backend: str = "mujoco"
    """A registered backend. ``mujoco`` in this process is the one that demonstrations are mined in."""
    address: str = ""
    """Of ``remote``: where `dextrack sim serve` listens."""
    keys: str = ""
    """Of ``remote``: folder of keys, where the server asks for them."""
    deadline_s: float = 0.05
    """Of ``remote``: a step without an answer for this long has failed. Three control periods: the cell holds soon after."""

    def options(self) -> dict[str, Any]:
        """What ``make_backend`` needs beside hand, base frame and physics."""
        if self.backend == "remote":
            return {"address": self.address, "keys": Path(self.keys) if self.keys else None, "deadline_s": self.deadline_s}
        # One world needs one thread; the rest of the graph needs the others.
        return {"n_threads": 1} if self.backend == "mujoco" else {}


class ShadowSimulator:
    """A hand on a floating base, in free space without gravity on it, driven by PD controllers."""

    def __init__(self, hand: HandSpec, base_quaternion_w: ArrayLike, period: float = CONTROL_PERIOD, engine: Engine | None = None) -> None:
        """Simulate ``hand`` on the placed reference's base frame ``base_quaternion_w`` (4,) wxyz; one step is ``period`` s.

        Raises:
            InputError: no such backend, or no address of a remote one.
            DriverError, RefusedError: a remote backend does not answer, or does not simulate this hand.
        """
        engine = engine or Engine()
        base = np.asarray(base_quaternion_w, dtype=np.float64)
        self._hand, self._backend = hand, engine.backend
        self._worlds = make_backend(engine.backend, hand, base, None, physics=Physics(period=period), n_worlds=1, table=False, **engine.options())
        self.joint_names = hand.joint_names
        self.period = period
        self._lower, self._upper = hand.limits()
        self._ready = False
        self.lost = ""
        """Why the backend is lost; empty: it is not. ``reset`` may find it again."""

    def reset(self, theta: ArrayLike, velocity: ArrayLike | None = None) -> None:
        """Put the hand at ``theta`` (22,) with ``velocity`` (22,), zero by default. A remote backend that was lost is connected again.

        Raises:
            InputError: a value is not finite, or the shape is wrong.
            DriverError, RefusedError: the remote backend does not answer.
        """
        x = self._checked(theta, "state")
        v = np.zeros(len(x)) if velocity is None else self._checked(velocity, "velocity")
        self._ready = False
        with self._losing():
            self._worlds.reset(x[None], hand_velocity=v[None])
        self._ready = True

    def resynchronise(self, theta: ArrayLike) -> None:
        """Put the hand at the measured ``theta`` (22,) and let it go on with the velocity that it has.

        Raises:
            InputError: a value is not finite, the shape is wrong, or the simulator was never reset.
            DriverError, RefusedError: the remote backend does not answer.
        """
        self._require_ready("resynchronise")
        self.reset(theta, self.state()[1])

    def step(self, target: ArrayLike) -> tuple[Floats, Floats]:
        """Advance one period towards ``target`` (22,), clamped to the joint limits.

        Returns:
            (theta (22,), theta_dot (22,)), m, rad and per second.

        Raises:
            InputError: the target is not finite or has the wrong shape, or the simulator was never reset; its state does not change.
            SimulationError: the physics diverged.
            DriverError, RefusedError: the remote backend does not answer in time.
        """
        x = self._checked(target, "target")
        self._require_ready("step")
        with self._losing():
            self._worlds.step(np.clip(x, self._lower, self._upper)[None])
        theta, velocity = self.state()
        # An engine may put a diverged world back by itself; a jump home must not reach the robot.
        if len(self._worlds.bad_worlds()):
            self._ready = False
            raise SimulationError("shadow simulator: the physics diverged.", remedy="hold, and check the targets of the trial for jumps.")
        return theta, velocity

    def state(self) -> tuple[Floats, Floats]:
        """(theta (22,), theta_dot (22,)) now."""
        state = self._worlds.state()
        return state.hand[0].copy(), state.hand_velocity[0].copy()

    def close(self) -> None:
        """Free what the backend holds."""
        self._worlds.close()

    def require_fast(self) -> None:
        """Let the worlds do once what costs them time the first time; it has to be reset afterwards.

        Raises:
            RefusedError: a step takes longer than a period, and a loop with it would be late.
        """
        self._ready = False
        warm(self._worlds, self._hand, with_object=False)
        target, taken = np.concatenate([[0.0, 0.0, 1.0, 0.0, 0.0, 0.0], self._hand.rest])[None], []
        for _ in range(TIMED):
            began = time.perf_counter()
            self._worlds.step(target)
            self._worlds.state()
            taken.append(time.perf_counter() - began)
        if (median := float(np.median(taken))) > self.period:
            what = f"shadow simulator: a step of backend {self._backend} takes {1e3 * median:.0f} ms here, and the loop has {1e3 * self.period:.1f} ms."
            raise RefusedError(what, remedy="choose backend mujoco, or serve this one on a faster machine with `dextrack sim serve`.")

    def _checked(self, value: ArrayLike, what: str) -> Floats:
        x = np.asarray(value, dtype=np.float64)
        if x.shape != (len(self.joint_names),) or not np.isfinite(x).all():
            raise InputError(f"shadow simulator: the {what} is not {len(self.joint_names)} finite numbers.", remedy="hold; check the node that sent it.")
        return x

    def _require_ready(self, what: str) -> None:
        if self.lost:
            what = f"shadow simulator: its backend was lost: {self.lost}"
            raise DriverError(what, remedy="hold; the run can begin again when the backend answers.")
        if not self._ready:
            raise InputError(f"shadow simulator: {what} before reset.", remedy="reset it to the measured hand state when the run begins.")

    @contextlib.contextmanager
    def _losing(self) -> Iterator[None]:
        """What a remote backend refuses or leaves unanswered loses it; what comes through finds it again."""
        try:
            yield
        except (DriverError, RefusedError) as error:
            self._ready, self.lost = False, error.what
            raise
        self.lost = ""
