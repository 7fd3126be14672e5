"""The page of a placement: where the object goes, what the arm does, and how near to its limits."""

from __future__ import annotations

import numpy as np

from dextrack.evaluation import figures, html
from dextrack.evaluation.figures import REFERENCE, TRIAL, Curve, Level, Panel, Path3
from dextrack.references.reference import CONTROL_PERIOD
from dextrack_deploy.arm.kinematics import ArmKinematics
from dextrack_deploy.cell import CellConfig
from dextrack_deploy.placement.fit import PlacedTask
from dextrack_deploy.placement.transform import wrist_path


def make(placed: PlacedTask, cell: CellConfig) -> str:
    """The page of ``placed`` in ``cell``."""
    reference, f = placed.reference, placed.figures
    x, y = reference.object_position_w[0, :2]
    where = f"The object's origin goes to x {100 * x:.1f} cm, y {100 * y:.1f} cm, turned by {np.degrees(placed.transform.yaw):.0f}° from how it was recorded."
    cards = [
        html.Card("slowed down", f"{placed.time_scale:.2f}×", f"{reference.n_steps * reference.period:.1f} s long"),
        html.Card("fastest joint", f"{f.max_velocity_fraction:.0%}", "of the arm's published velocity"),
        html.Card("nearest joint limit", f"{np.degrees(f.min_limit_margin):.0f}°", f"the cell keeps {np.degrees(cell.arm.limit_margin):.0f}°"),
        html.Card("over the table", f"{100 * f.min_table_clearance:.1f} cm", "lowest point of the arm's links"),
        html.Card("behind the wrist", f"{1e3 * f.max_position_error:.1f} mm", f"at most, and {np.degrees(f.max_rotation_error):.1f}°"),
        html.Card("manipulability", f"{f.min_manipulability:.3f}", "least; about 0.1 in the middle of the reach, 0 in a singularity"),
    ]
    blocks = [html.banner("Placed", where, html.GOOD), html.cards(cards), html.heading("Where"), _where(placed, cell), html.heading("How"), _how(placed, cell)]
    return html.page(f"Placement of {reference.name}", f"{reference.object_name}, {reference.hand_name}, cell {cell.name}", blocks)


def _where(placed: PlacedTask, cell: CellConfig) -> str:
    reference = placed.reference
    wrist, _ = wrist_path(reference, reference.hand)
    box = np.array(cell.workspace.lower_w), np.array(cell.workspace.upper_w)
    table = np.array(cell.table.lower), np.array(cell.table.upper)
    base = np.array(cell.arm.base_position_w)
    paths = [Path3("object", reference.object_position_w, REFERENCE), Path3("wrist", wrist, TRIAL)]
    drawn = figures.views("where", paths, box, table, {"arm": base})
    caption = "Paths of the object's origin and of the wrist in the cell's world; the dots are where they begin. The object must lie at its dot."
    return html.figure(drawn, caption, "Paths of object and wrist from above and from the side.")


def _how(placed: PlacedTask, cell: CellConfig) -> str:
    kinematics, q = ArmKinematics(cell), placed.arm_path
    arm, time = kinematics.arm, np.arange(len(placed.arm_path), dtype=np.float64) * CONTROL_PERIOD
    velocity = np.abs(np.gradient(q, CONTROL_PERIOD, axis=0)) / arm.velocity
    margin = np.minimum(q - arm.lower, arm.upper - q)
    panels = [
        Panel("fastest joint,\npart of its limit", (Curve("", velocity.max(axis=1)),), (Level(cell.arm.velocity_fraction, "what the cell allows"),)),
        Panel("nearest limit, rad", (Curve("", margin.min(axis=1)),), (Level(cell.arm.limit_margin, "what the cell keeps"),)),
        Panel("manipulability", (Curve("", kinematics.manipulability(q)),)),
    ]
    caption = "The arm along the placed path, as the streaming inverse kinematics and the rate limits of the robot follow it."
    return html.figure(figures.over_time("how", time, panels), caption, "Joint velocity, distance from joint limits and manipulability over time.")
