"""Settings of a scene's physics, whatever the engine, and the names in it. They are measured ones; each is named with its reason."""

from __future__ import annotations

import dataclasses

OBJECT = "object"
"""Name of the object's body; its free joint is ``object_free``."""
TABLE = "table"
"""Name of the table's geom: the plane z = 0."""


@dataclasses.dataclass(frozen=True)
class Physics:
    """Settings of the engine and multipliers of what is uncertain. One control step is ``period`` = substeps * timestep."""

    period: float = 1.0 / 60.0
    """Control period, s (paper, App. C)."""
    substeps: int = 2
    """Steps of the engine per control step (the authors' release)."""
    iterations: int = 40
    """Newton iterations; 4 lose the object."""
    impratio: float = 10.0
    """Friction-to-normal impedance; 1 lets grasps creep."""
    friction_scale: float = 1.0
    """Multiplies the object's friction."""
    mass_scale: float = 1.0
    """Multiplies the object's mass."""
    finger_gain_scale: float = 1.0
    """Multiplies kp and kv of the fingers."""
    effort_scale: float = 1.0
    """Multiplies the fingers' effort limit."""
    torsional_friction: float = 0.003
    """Torsional friction of the object's contacts, m: the radius of a soft pad's patch times its friction."""
    hand_gravity: bool = False
    """Whether gravity pulls on the hand. The paper ignores it: the arm carries the hand and the motors' position loop the fingers."""
