"""Robot hands. Adding one is a folder among the shipped models (see ``hands.description``) and its name in ``HANDS``."""

from __future__ import annotations

import functools

from dextrack.hands.description import read_hand
from dextrack.hands.spec import KEYPOINTS, WRIST_JOINTS, Fingertip, HandSpec, Keypoint, hand_names, load_hand, register

__all__ = ["HANDS", "KEYPOINTS", "WRIST_JOINTS", "Fingertip", "HandSpec", "Keypoint", "hand_names", "load_hand", "register"]

HANDS = (
    "allegro_left",
    "allegro_right",
    "leap_left",
    "leap_right",
)
"""Folders of the hands that DexTrack ships."""

for _name in HANDS:
    register(_name)(functools.partial(read_hand, _name))
