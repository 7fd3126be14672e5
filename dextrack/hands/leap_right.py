"""The right LEAP hand: figures of its published description (LEAP Hand project, MIT licence)."""

from __future__ import annotations

from typing import Tuple

from dextrack_assets import path

from dextrack.hands.spec import Fingertip, HandSpec, Keypoint, register

FINGERS = (("index", ""), ("middle", "_2"), ("ring", "_3"))
"""Human finger -> suffix of the LEAP's body names. The LEAP has no little finger."""

_THREE = ((-1.047, -0.314, -0.506, -0.366), (1.047, 2.23, 1.885, 2.042))
_THUMB = ((-0.349, -0.47, -1.20, -1.34), (2.094, 2.443, 1.90, 1.88))
_PAD = (0.0, -0.0375, 0.0145)
_THUMB_PAD = (0.0, -0.0495, -0.0145)
_PAD_RADIUS = 0.0105


def _keypoints() -> Tuple[Keypoint, ...]:
    """Tips weigh most: they touch. The LEAP is larger than a hand, so joints along the fingers only guide."""
    points = [Keypoint("wrist", "palm_lower", (-0.095, -0.035, -0.0115), 0.3)]
    for human, suffix in FINGERS:
        points.append(Keypoint(human + "_1", "mcp_joint" + suffix, (0.0, 0.0, 0.0145), 0.3))
        points.append(Keypoint(human + "_2", "dip" + suffix, (0.0, 0.0, 0.0145), 0.1))
        points.append(Keypoint(human + "_3", "fingertip" + suffix, (0.0, 0.0, 0.0145), 0.1))
        points.append(Keypoint(human + "_tip", "fingertip" + suffix, _PAD, 1.0))
    points.append(Keypoint("thumb_2", "thumb_dip", (0.0, 0.0, -0.0145), 0.1))
    points.append(Keypoint("thumb_3", "thumb_fingertip", (0.0, 0.0, -0.0145), 0.1))
    points.append(Keypoint("thumb_tip", "thumb_fingertip", _THUMB_PAD, 1.0))
    return tuple(points)


@register("leap_right")
def leap_right() -> HandSpec:
    """HandSpec of the right LEAP hand.

    Effort: 0.95 N m is published and near stall; at the 500 mA that cells run the motors give about 0.26 N m.
    """
    return HandSpec(
        name="leap_right",
        side="right",
        mjcf=path("models", "leap_right", "leap_right.xml"),
        palm_body="palm_lower",
        finger_joints=tuple(str(i) for i in range(16)),
        lower=_THREE[0] * 3 + _THUMB[0],
        upper=_THREE[1] * 3 + _THUMB[1],
        effort=(0.26,) * 16,
        effort_max=(0.95,) * 16,
        velocity=(8.48,) * 16,
        finger_kp=20.0,
        finger_kv=1.0,
        keypoints=_keypoints(),
        fingertips=(
            Fingertip("thumb", "thumb_fingertip", _THUMB_PAD, _PAD_RADIUS),
            Fingertip("index", "fingertip", _PAD, _PAD_RADIUS),
            Fingertip("middle", "fingertip_2", _PAD, _PAD_RADIUS),
            Fingertip("ring", "fingertip_3", _PAD, _PAD_RADIUS),
        ),
        rest=(0.0, 0.3, 0.3, 0.3) * 3 + (0.9, 0.0, 0.2, 0.2),
        palm_axes_h=((1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
        mass=0.746,
    )
