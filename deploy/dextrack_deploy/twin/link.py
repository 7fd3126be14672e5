"""The link to the twin, on loopback: the requests of ``dextrack.link`` that a twin answers.

======== =============================== =====================================================================================
do       arguments                       result
======== =============================== =====================================================================================
hello                                    protocol, version, session, cell, hand, hand_joints, arm_joints, object, mismatch, ...
hand.read                                stamp, position, velocity, current
hand.write targets (16), stamp           stamp (arrival)
hand.power power (full, soft, off)       stamp
arm.read                                 stamp, q, dq
arm.write q (7), stamp                   stamp (arrival)
arm.stop                                 stamp
camera.read                              empty before the first sample; else number, stamp, position, quaternion, deviation of both (m, rad)
truth.read                               stamp, time_s, position, quaternion, qpos, hand_contacts, table_contacts
reset    position, quaternion, arm, hand moved_m, turned_rad, still (an argument left out or None: as at the last reset)
status                                   time_s, lateness, ages of commands, settled, mismatch
======== =============================== =====================================================================================

Stamps are integer nanoseconds since the epoch. Quaternions are wxyz.
"""

from __future__ import annotations

from dextrack.link import LinkClient, Protocol

PROTOCOL = Protocol("dextrack-twin", 1, "twin", largest_message=1 << 16)
TIMEOUT_S = 0.25
"""A request without an answer for this long has failed. Three camera periods: longer than any stall that a running cell survives."""
SLOW_TIMEOUT_S = 10.0
"""The same for ``hello`` and ``reset``, which may wait for a busy machine and for the object to settle."""


class TwinClient(LinkClient):
    """A client of the twin."""

    def __init__(self, endpoint: str, timeout_s: float = TIMEOUT_S, connect_timeout_s: float = SLOW_TIMEOUT_S) -> None:
        """Connect to ``endpoint``. See ``LinkClient`` for what it raises."""
        super().__init__(PROTOCOL, endpoint, timeout_s, connect_timeout_s)
