"""Build: the show of a recording, a reference or a demonstration."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dextrack import rotations
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.evaluation import motion as motions
from dextrack.evaluation.film_strip import ROW_COLOURS
from dextrack.evaluation.motion import HandMotion, Motion
from dextrack.evaluation.rendering import Camera
from dextrack.evaluation.viewer import contacts, curves, facts, viewpoint
from dextrack.evaluation.viewer.posing import hand_balls, pad_centres
from dextrack.evaluation.viewer.show import (
    GHOST_COLOUR,
    GHOST_OPACITY,
    TARGET_COLOUR,
    TARGET_OPACITY,
    Human,
    Show,
    hand_layer,
    object_layer,
)
from dextrack.hands import load_hand
from dextrack.objects import ObjectSpec, point_cloud
from dextrack.references.recording import Recording
from dextrack.references.reference import Reference
from dextrack.tracking.verdict import hull_vertices

Floats = NDArray[np.float64]

LOOKS = 7
"""Frames that the first camera is chosen by."""
NEAR = 0.12
"""What is further than this from where the object has been is not made room for in the first picture, m."""
_CLOUD = 60
_BALL = 0.01
_BONE_BALL = 0.012


def of_recording(recording: Recording, obj: ObjectSpec) -> Show:
    """The human hand and the object."""
    motion = motions.of_recording(recording)
    return Show(
        title=recording.name,
        kind="recording",
        time=motion.time,
        layers=(object_layer(motion, obj, "object"),),
        camera=_camera(motion, obj),
        facts=facts.of_recording(recording),
        object_position_w=motion.object_position_w,
        human=Human(recording.keypoints_w, faded=False),
        curves=(curves.of_height((motion,), obj, ROW_COLOURS),),
    )


def of_reference(reference: Reference, obj: ObjectSpec) -> Show:
    """The robot hand and the object, the human hand it was retargeted from, and the contacts it plans.

    Raises:
        InputError: its hand is not registered.
    """
    human, robot = motions.of_reference(reference)
    assert robot.hand is not None
    pads = contacts.measured(robot.hand, robot, obj)
    return Show(
        title=reference.name,
        kind="reference",
        time=robot.time,
        layers=(object_layer(robot, obj, "object"), hand_layer(robot.hand, "robot hand")),
        camera=_camera(robot, obj),
        facts=facts.of_reference(reference),
        object_position_w=robot.object_position_w,
        human=Human(reference.keypoints_w, faded=True),
        plan=contacts.planned(reference.diagnosis, len(robot.time)),
        pads=pads,
        curves=(curves.of_height((robot,), obj, ROW_COLOURS), curves.of_gaps(pads)),
    )


def of_demonstration(demonstration: Demonstration, obj: ObjectSpec) -> Show:
    """The robot hand and object as they were simulated, the reference they track as a ghost, and the targets.

    Raises:
        InputError: its hand is not registered.
    """
    human, wanted, done = motions.of_demonstration(demonstration)
    assert wanted.hand is not None and done.hand is not None
    # N targets lead to N + 1 states: the first state, which nothing led to, is shown with the target that follows.
    sent = dataclasses.replace(done.hand, theta=np.concatenate([demonstration.targets[:1], demonstration.targets]))
    return Show(
        title=demonstration.reference.name,
        kind="demonstration",
        time=done.time,
        layers=(
            object_layer(done, obj, "object"),
            hand_layer(done.hand, "robot hand"),
            object_layer(wanted, obj, "reference's object", GHOST_COLOUR, GHOST_OPACITY),
            hand_layer(wanted.hand, "reference's hand", GHOST_COLOUR, GHOST_OPACITY),
            hand_layer(sent, "targets sent", TARGET_COLOUR, TARGET_OPACITY, shown=False),
        ),
        camera=_camera(done, obj),
        facts=facts.of_demonstration(demonstration),
        object_position_w=done.object_position_w,
        human=Human(demonstration.reference.keypoints_w, faded=True, shown=False),
        plan=contacts.planned(demonstration.reference.diagnosis, len(done.time)),
        pads=contacts.measured(done.hand, done, obj),
        curves=(*curves.of_errors(done, wanted, ROW_COLOURS["demonstration"]), curves.of_height((wanted, done), obj, ROW_COLOURS)),
    )


def _camera(motion: Motion, obj: ObjectSpec) -> Camera:
    """From where the fingers and the object of ``motion`` are seen best."""
    frames = np.unique(np.linspace(0, len(motion.time) - 1, LOOKS).astype(int))
    cloud = point_cloud(obj, _CLOUD)
    objects = rotations.rotate(motion.object_quaternion_w[frames][:, None], cloud) + motion.object_position_w[frames][:, None]
    hands, radii, tips = _hand(motion, frames)
    balls = tuple(
        viewpoint.Balls(np.concatenate([hand, points]), np.concatenate([radii, np.full(len(points), _BALL)]), np.concatenate([tip, tip, points]))
        for hand, points, tip in zip(hands, objects, tips, strict=True)
    )
    every = np.unique(np.linspace(0, len(motion.time) - 1, 5 * LOOKS).astype(int))
    hull = hull_vertices(obj.vertices)
    where = (rotations.rotate(motion.object_quaternion_w[every][:, None], hull) + motion.object_position_w[every][:, None]).reshape(-1, 3)
    hand = hands.reshape(-1, 3)
    near = ((hand >= where.min(axis=0) - NEAR) & (hand <= where.max(axis=0) + NEAR)).all(axis=1)
    return viewpoint.choose(balls, np.concatenate([where, hand[near]]))


def _hand(motion: Motion, frames: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
    """Balls (n, S, 3), m, with radii (S,), m, that cover the hand, robot or human, and its fingertips (n, F, 3), m, in ``frames`` (n,)."""
    if motion.hand is not None:
        hand = load_hand(motion.hand.hand_name)
        still = HandMotion(motion.hand.hand_name, motion.hand.joint_names, motion.hand.theta[frames], motion.hand.base_quaternion_w)
        return (*hand_balls(hand, still), pad_centres(hand, still))
    assert motion.keypoints_w is not None
    points = motion.keypoints_w[frames]
    bones = np.concatenate([points, 0.5 * (points[:, 1:] + points[:, :-1])], axis=1)
    return bones, np.full(bones.shape[1], _BONE_BALL), points[:, 4::4]
