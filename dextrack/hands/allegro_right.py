"""The right Allegro Hand V4: figures of its published description (SimLab; BSD licence, in the model's folder)."""

from __future__ import annotations

from typing import Tuple

from dextrack_assets import path

from dextrack.hands.spec import Fingertip, HandSpec, Keypoint, register

FINGERS = (("index", 0), ("middle", 4), ("ring", 8))
"""Human finger -> its first motor, whose number its links share. The Allegro has no little finger."""

_THREE = ((-0.47, -0.196, -0.174, -0.227), (0.47, 1.61, 1.709, 1.618))
_THUMB = ((0.263, -0.105, -0.189, -0.162), (1.396, 1.163, 1.644, 1.719))
_PAD = (0.0, 0.0, -0.012)
_PAD_RADIUS = 0.012


def _keypoints() -> Tuple[Keypoint, ...]:
    """Tips weigh most: they touch. The Allegro is larger than a hand, so joints along the fingers only guide."""
    points = [Keypoint("wrist", "base_link", (0.0, 0.0, -0.095), 0.3)]
    for human, first in FINGERS:
        points.append(Keypoint(human + "_1", "link_%d.0" % (first + 1), (0.0, 0.0, 0.0), 0.3))
        points.append(Keypoint(human + "_2", "link_%d.0" % (first + 2), (0.0, 0.0, 0.0), 0.1))
        points.append(Keypoint(human + "_3", "link_%d.0" % (first + 3), (0.0, 0.0, 0.0), 0.1))
        points.append(Keypoint(human + "_tip", "link_%d.0_tip" % (first + 3), _PAD, 1.0))
    points.append(Keypoint("thumb_2", "link_14.0", (0.0, 0.0, 0.0), 0.1))
    points.append(Keypoint("thumb_3", "link_15.0", (0.0, 0.0, 0.0), 0.1))
    points.append(Keypoint("thumb_tip", "link_15.0_tip", _PAD, 1.0))
    return tuple(points)


@register("allegro_right")
def allegro_right() -> HandSpec:
    """HandSpec of the right Allegro Hand.

    Effort: 0.7 N m is the maker's largest joint torque (data sheet of the V4). The description's 10 N m is a placeholder; its 3.14 rad/s is kept.
    """
    return HandSpec(
        name="allegro_right",
        side="right",
        mjcf=path("models", "allegro_right", "allegro_right.xml"),
        palm_body="base_link",
        finger_joints=tuple("joint_%d.0" % i for i in range(16)),
        lower=_THREE[0] * 3 + _THUMB[0],
        upper=_THREE[1] * 3 + _THUMB[1],
        effort=(0.7,) * 16,
        effort_max=(0.7,) * 16,
        velocity=(3.14,) * 16,
        finger_kp=20.0,
        finger_kv=1.0,
        keypoints=_keypoints(),
        fingertips=(
            Fingertip("thumb", "link_15.0_tip", _PAD, _PAD_RADIUS),
            Fingertip("index", "link_3.0_tip", _PAD, _PAD_RADIUS),
            Fingertip("middle", "link_7.0_tip", _PAD, _PAD_RADIUS),
            Fingertip("ring", "link_11.0_tip", _PAD, _PAD_RADIUS),
        ),
        rest=(0.0, 0.3, 0.3, 0.3) * 3 + (1.0, 0.2, 0.2, 0.2),
        palm_axes_h=((0.0, 0.0, 1.0), (1.0, 0.0, 0.0)),
        mass=0.9735,
    )
