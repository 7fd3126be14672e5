"""How fast the motions of APPROACH and RETREAT are: who plans them keeps to it, and the drivers follow nothing that jumps (``continuity``)."""

SPEED = 0.25
"""Part of the arm's published velocity and acceleration that a slow motion uses."""
FINGER_VELOCITY, FINGER_ACCELERATION = 1.0, 4.0
"""rad/s and rad/s2: a third of what the hand's motors do without load."""
GAP_S = 0.25
"""Targets may be as far apart as this lets them be, s: a driver that waited for its device was not there for those in between, and a stream that ended for
longer holds the cell. Judged by when they come: their stamps are those of the hand's readings, which stand still while the hand's driver waits."""
