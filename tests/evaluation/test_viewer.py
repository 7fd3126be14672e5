"""The viewer without a browser: what it computes to show, against what is known otherwise."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from dextrack import rotations
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.errors import InputError
from dextrack.evaluation.motion import HandMotion, of_reference
from dextrack.evaluation.viewer import build, contacts, curves, facts, posing, scene, server, surfaces, viewpoint
from dextrack.evaluation.viewer.player import REST, Player
from dextrack.hands import hand_names, load_hand
from dextrack.objects import ObjectSpec
from dextrack.references.reference import Reference
from dextrack.sim.scene import build_scene
from tests import synthetic
from tests.evaluation.conftest import SIZE

PART = {"state": "passed", "why": "up in all 20 frames", "numbers": {}}


@pytest.fixture(autouse=True)
def _own_cache(data_folder: Path) -> None:
    """Distance fields are made anew, and not in the user's folder."""


@pytest.fixture
def demonstration(reference: Reference) -> Demonstration:
    """The reference, but its object is 3 cm aside and turned by 30 degrees about the vertical."""
    position = reference.object_position_w + [0.03, 0.0, 0.0]
    quaternion = np.tile(rotations.from_hinges([0.0, 0.0, np.deg2rad(30.0)]), (60, 1))
    verdict = {"passed": False, "lifted": PART, "held": {**PART, "state": "failed", "why": "<b>off</b>"}}
    metrics = {"t_err_m": 0.03, "success_20": False}
    return Demonstration(reference, reference.hand[1:], reference.hand, 0 * reference.hand, position, quaternion, metrics, verdict, {})


def wanderer(name: str, frames: int = 5) -> HandMotion:
    hand = load_hand(name)
    lower, upper = hand.limits()
    share = np.random.default_rng(3).uniform(size=(frames, hand.dof))
    return HandMotion(name, hand.joint_names, 0.3 * (lower + share * (upper - lower)), rotations.from_hinges([0.4, 0.2, -1.0]))


@pytest.mark.parametrize("name", hand_names())
def test_bodies_and_pads_are_where_mujoco_has_them(name: str) -> None:
    motion, hand = wanderer(name), load_hand(name)
    world = build_scene(hand, motion.base_quaternion_w)
    data = mujoco.MjData(world.model)
    bodies = tuple(surfaces.of_hand(hand))
    position, quaternion = posing.body_poses(hand, motion, bodies)
    pads = posing.pad_centres(hand, motion)
    for n, theta in enumerate(motion.theta):
        data.qpos[:] = world.qpos(theta)
        mujoco.mj_kinematics(world.model, data)
        for i, body in enumerate(bodies):
            np.testing.assert_allclose(position[n, i], data.body(body).xpos, atol=1e-9)
            assert rotations.angle(quaternion[n, i], data.body(body).xquat) < 1e-6
        np.testing.assert_allclose(pads[n], [data.site(f"{tip.finger}_tip").xpos for tip in hand.fingertips], atol=1e-9)


@pytest.mark.parametrize("name", hand_names())
def test_surfaces_fill_the_boxes_that_mujoco_draws_around_the_geoms(name: str) -> None:
    """MuJoCo keeps an axis-aligned box of each geom; together they bound a body exactly as its surfaces do, up to how round shapes are faceted."""
    model = mujoco.MjModel.from_xml_path(str(load_hand(name).mjcf))
    for body, drawn in surfaces.of_hand(load_hand(name)).items():
        corners = []
        for g in np.flatnonzero((model.geom_bodyid == model.body(body).id) & (model.geom_group < 3)):
            centre, half = model.geom_aabb[g, :3], model.geom_aabb[g, 3:]
            signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
            corners.append(Rotation.from_quat(model.geom_quat[g], scalar_first=True).apply(centre + signs * half) + model.geom_pos[g])
        vertices = np.concatenate([s.vertices for s in drawn])
        low, high = np.concatenate(corners).min(axis=0), np.concatenate(corners).max(axis=0)
        assert (vertices >= low - 1e-6).all() and (vertices <= high + 1e-6).all()
        assert (np.ptp(vertices, axis=0) > 0.75 * (high - low)).all()


def test_a_ghost_is_the_hulls_of_the_bodies_in_one_colour() -> None:
    hand = load_hand("leap_right")
    plain, ghost = surfaces.of_hand(hand), surfaces.of_hand(hand, (1, 2, 3))
    assert {s.colour for body in ghost.values() for s in body} == {(1, 2, 3)} != {s.colour for body in plain.values() for s in body}
    for body, (surface,) in ghost.items():
        points = np.concatenate([s.vertices for s in plain[body]])
        assert trimesh.Trimesh(surface.vertices, surface.faces).volume == pytest.approx(trimesh.convex.convex_hull(points).volume, rel=1e-6)


def test_a_pads_gap_is_its_distance_to_the_face(box: ObjectSpec, reference: Reference) -> None:
    """The box is put so that its face is 4 mm beside the thumb's pad, then 1 mm and 8 mm inside it."""
    _, robot = of_reference(reference)
    hand = load_hand("leap_right")
    thumb = posing.pad_centres(hand, robot.hand)[:, 0]
    for gap in (0.004, -0.001, -0.008):
        beside = thumb - [SIZE[0] / 2 + hand.fingertips[0].radius + gap, 0.0, 0.0]
        pads = contacts.measured(robot.hand, dataclasses.replace(robot, object_position_w=beside), box)
        np.testing.assert_allclose(pads.gaps[:, 0], gap, atol=3e-4)
        assert (pads.touching[:, 0] == (gap < 0.002)).all()
        assert (pads.deep[:, 0] == (gap < -0.005)).all()


def test_a_plan_holds_from_onset_to_release() -> None:
    diagnosis = {"fingers": ["thumb"], "contact_points_o": [[0.0, 0.0, 0.1]], "contact_normals_o": [[0.0, 0.0, 1.0]], "onset": 3, "release": 5}
    plan = contacts.planned(diagnosis, 8)
    assert plan is not None
    assert plan.held.tolist() == [False] * 3 + [True] * 3 + [False] * 2
    assert contacts.planned({}, 8) is None
    assert contacts.planned({**diagnosis, "contact_points_o": []}, 8) is None


def test_curves_of_a_shifted_and_turned_object(box: ObjectSpec, demonstration: Demonstration) -> None:
    off, turn, height = build.of_demonstration(demonstration, box).curves
    np.testing.assert_allclose(off.lines[0].values, 3.0)
    np.testing.assert_allclose(turn.lines[0].values, 30.0)
    assert (off.limit, turn.limit) == pytest.approx((10.0, 20.0))
    assert height.lines[1].values.max() == pytest.approx(12.0)
    assert turn.limit_shown and turn.top > 30.0
    assert not off.limit_shown and 3.0 < off.top < 4.0, "a limit of 10 cm would flatten an error of 3 cm"


def test_a_demonstration_shows_what_was_done_and_its_reference_as_a_ghost(box: ObjectSpec, demonstration: Demonstration) -> None:
    show = build.of_demonstration(demonstration, box)
    layers = {layer.label: layer for layer in show.layers}
    done, wanted = layers["object"], layers["reference's object"]
    assert done.opacity is None and wanted.opacity is not None and wanted.opacity < 1.0
    np.testing.assert_allclose(done.position_w - wanted.position_w, np.broadcast_to([0.03, 0.0, 0.0], (60, 1, 3)), atol=1e-12)
    assert not layers["targets sent"].shown and show.human is not None and not show.human.shown
    assert {len(layer.position_w) for layer in show.layers} == {60} == {show.frames}


def test_each_kind_has_what_it_is_about(box: ObjectSpec, reference: Reference) -> None:
    shown = build.of_reference(reference, box)
    assert [layer.label for layer in shown.layers] == ["object", "robot hand"] and shown.human is not None and shown.human.faded
    seen = build.of_recording(synthetic.recording(), synthetic.box())
    assert [layer.label for layer in seen.layers] == ["object"] and seen.human is not None and not seen.human.faded and seen.pads is None


def test_texts_out_of_files_are_escaped(demonstration: Demonstration, reference: Reference) -> None:
    html = facts.of_demonstration(demonstration)
    assert "<b>off</b>" not in html and "&lt;b&gt;off&lt;/b&gt;" in html
    assert "did not pass" in html and html.count("✓") == 1 and html.count("✗") == 1 and html.count("not judged") == 2
    odd = dataclasses.replace(reference, object_name="<script>x</script>", diagnosis={"warnings": ["<img src=x>"], "lift_m": 0.12}, time_scale=1.5)
    html = facts.of_reference(odd)
    assert "<script" not in html and "<img" not in html
    assert "12.0 cm" in html and "1.50 times as long" in html
    assert "&lt;i&gt;" in facts.of_recording(dataclasses.replace(synthetic.recording(), flags=("<i>",)))


def test_a_ball_hides_what_is_behind_it_and_nothing_else() -> None:
    wanted = np.array([[1.0, 0.0, 0.0], [0.3, 0.0, 0.0], [1.0, 0.3, 0.0], [0.5, 0.0, 0.0]])
    balls = viewpoint.Balls(np.array([[0.5, 0.0, 0.0]]), np.array([0.1]), wanted)
    assert viewpoint.visible(np.zeros(3), balls).tolist() == [False, True, True, True]


def test_the_camera_stands_where_no_wall_is() -> None:
    """A wall of balls on the +x side of a point: it is looked at from -x."""
    y, z = np.meshgrid(np.linspace(-0.3, 0.3, 25), np.linspace(-0.1, 0.5, 25))
    wall = np.stack([np.full(y.size, 0.1), y.ravel(), z.ravel()], axis=1)
    frame = viewpoint.Balls(wall, np.full(len(wall), 0.03), np.zeros((1, 3)))
    camera = viewpoint.choose((frame,), np.array([[-0.05, -0.05, -0.05], [0.05, 0.05, 0.05]]))
    assert viewpoint.visible(camera.position_w(), frame).all()
    assert camera.position_w()[0] < 0.1


def test_rods_turn_from_z_to_their_bone() -> None:
    bones = rotations.rotate(rotations.normalise(np.random.default_rng(0).normal(size=(50, 4))), np.array([0.0, 0.0, 1.0]))
    bones = np.concatenate([bones, np.eye(3), -np.eye(3)])
    np.testing.assert_allclose(rotations.rotate(scene._from_z(bones), np.array([0.0, 0.0, 1.0])), bones, atol=1e-9)


class TestPlayer:
    """Frames at uneven times; the clock is ours."""

    TIME = np.array([0.0, 0.1, 0.2, 0.5, 1.0])

    def test_it_shows_the_nearest_frame_of_its_time(self) -> None:
        player = Player(self.TIME)
        assert player.frame(7.0) == 0
        player.toggle(10.0)
        assert [player.frame(10.0 + t) for t in (0.04, 0.06, 0.3, 0.4, 0.76)] == [0, 1, 2, 3, 4]

    def test_pause_keeps_the_place_and_speed_changes_only_what_follows(self) -> None:
        player = Player(self.TIME)
        player.toggle(0.0)
        player.toggle(0.2)
        assert not player.playing and player.frame(99.0) == 2
        player.set_speed(0.5, 99.0)
        player.toggle(100.0)
        assert player.frame(100.5) == 3  # 0.2 + 0.5 * 0.5
        player.set_speed(2.0, 100.5)
        assert player.frame(100.75) == 4  # 0.45 + 2 * 0.25

    def test_it_begins_again_after_a_rest_or_stops_at_the_end(self) -> None:
        player = Player(self.TIME)
        player.toggle(0.0)
        assert player.frame(1.0 + 0.9 * REST) == 4
        assert player.frame(1.0 + 1.1 * REST) == 0 and player.playing
        player = Player(self.TIME)
        player.loop = False
        player.toggle(0.0)
        assert player.frame(1.2) == 4 and not player.playing
        player.toggle(2.0)
        assert player.frame(2.0) == 0 and player.playing

    def test_steps_pause_and_stay_within_the_motion(self) -> None:
        player = Player(self.TIME)
        player.toggle(0.0)
        player.step(1, 0.1)
        assert player.frame(50.0) == 2 and not player.playing
        player.step(-10, 50.0)
        assert player.frame(50.0) == 0
        player.seek(99)
        assert player.frame(50.0) == 4


def test_the_played_part_of_a_plot_ends_upright_at_the_frame() -> None:
    from dextrack.evaluation.viewer.panel import _Plot

    time = np.array([0.0, 1.0, 2.0, 3.0])
    curve = curves.Curve("height", "cm", (curves.Line("it", np.array([0.0, 5.0, 7.0, 1.0]), "red"),), 2.0, "enough")
    x, shade, limit, line = _Plot(curve, time)._data(2)
    assert x.tolist() == [0.0, 1.0, 2.0, 2.0, 3.0]
    assert (shade > curve.top).tolist() == [True, True, True, False, False] and (shade[3:] < 0).all()
    assert set(limit) == {2.0} and line.tolist() == [0.0, 5.0, 7.0, 7.0, 1.0]


@pytest.mark.parametrize(
    ("host", "port", "says"),
    [("127.0.0.1", 70000, "0 (any that is free) to 65535"), ("no.such.host.invalid", 8080, "no address"), ("192.0.2.1", 8080, "cannot listen")],
)
def test_an_address_that_cannot_be_had_is_refused(host: str, port: int, says: str) -> None:
    with pytest.raises(InputError, match=r".*") as caught:
        server._require_free(host, port)
    assert says in caught.value.what and caught.value.remedy


def test_a_port_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(InputError, match="another program listens"):
            server._require_free("127.0.0.1", other.getsockname()[1])


def test_no_page_can_ask_for_a_tunnel_to_the_outside() -> None:
    with server._listening("127.0.0.1", 0) as viewer:
        assert viewer.get_host() == "127.0.0.1"
        assert viewer.request_share_url() is None
        assert viewer._share_tunnel is None
