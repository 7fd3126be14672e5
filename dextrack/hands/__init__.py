"""Robot hands. Adding one is a module that registers a HandSpec, its model in the assets, and one import line here."""

from dextrack.hands import allegro_right as _allegro_right
from dextrack.hands import leap_right as _leap_right
from dextrack.hands.spec import KEYPOINTS, WRIST_JOINTS, Fingertip, HandSpec, Keypoint, hand_names, load_hand, register

__all__ = ["KEYPOINTS", "WRIST_JOINTS", "Fingertip", "HandSpec", "Keypoint", "hand_names", "load_hand", "register"]

del _allegro_right, _leap_right
