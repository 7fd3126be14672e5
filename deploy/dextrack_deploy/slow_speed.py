"""How fast the motions of APPROACH and RETREAT are: who plans them keeps to it, and the drivers follow nothing that is faster."""

SPEED = 0.25
"""Part of the arm's published velocity and acceleration that a slow motion uses."""
FINGER_VELOCITY, FINGER_ACCELERATION = 1.0, 4.0
"""rad/s and rad/s2: a third of what the hand's motors do without load."""
