"""What a case of the conformance suite gets and gives: something that makes backends, and a finding with its numbers."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import numpy as np

from dextrack.hands.spec import HandSpec
from dextrack.objects.spec import ObjectSpec
from dextrack.sim.backend import Backend, Floats, make_backend
from dextrack.sim.physics import Physics

UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])
"""No rotation, wxyz: the base frame of every case, and the pose of most objects."""
GRAVITY = 9.81
"""m/s2."""


class CannotRunError(Exception):
    """A case has nothing to say about this hand or backend, and says why: no failure, and no pass."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a case found."""

    passed: bool
    figure: str
    """What was measured against what was expected, with its tolerance."""


class Maker:
    """Makes backends of one engine, of one hand. Making one closes the one before: some engines can be only once in a process, or serve one client."""

    def __init__(self, backend: str, hand: HandSpec, options: Optional[Dict[str, Any]] = None) -> None:
        """``options`` go to every backend that is made."""
        self.backend = backend
        self.hand = hand
        self.options = options or {}
        self.made: Optional[Backend] = None
        """The backend that is open."""

    def __call__(self, obj: Optional[ObjectSpec] = None, n_worlds: int = 1, physics: Optional[Physics] = None, table: bool = True) -> Backend:
        """A backend of ``n_worlds`` worlds with ``obj`` (None: without an object), its base frame upright."""
        self.close()
        self.made = make_backend(self.backend, self.hand, UPRIGHT, obj, physics=physics or Physics(), n_worlds=n_worlds, table=table, **self.options)
        return self.made

    def close(self) -> None:
        """Close the backend that is open, if any."""
        made, self.made = self.made, None
        if made is not None:
            made.close()


Case = Callable[[Maker], Outcome]


def at_rest(hand: HandSpec, n_worlds: int = 1, x: float = 0.0, z: float = 0.6) -> Floats:
    """Theta (n_worlds, 22) of the open hand, upright, its wrist at ``x`` and ``z``, m: high above the table unless told otherwise."""
    return np.tile(np.concatenate([[x, 0.0, z, 0.0, 0.0, 0.0], hand.rest]), (n_worlds, 1))


def poses(position: Sequence[float], n_worlds: int, quaternion: Floats = UPRIGHT) -> Tuple[Floats, Floats]:
    """(positions (n_worlds, 3), quaternions (n_worlds, 4)): the same pose in each world."""
    return np.tile(np.asarray(position, dtype=np.float64), (n_worlds, 1)), np.tile(quaternion, (n_worlds, 1))


def run_for(backend: Backend, targets: Floats, steps: int) -> None:
    """Take ``steps`` control steps towards the same targets (n_worlds, 22)."""
    for _ in range(steps):
        backend.step(targets)
