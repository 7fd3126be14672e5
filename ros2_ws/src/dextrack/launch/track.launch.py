"""Run a reference or demonstration on a cell: ``ros2 launch dextrack track.launch.py reference:=demonstrations.h5:apple_lift``.

The graph, its parameters and the steps of the trial are those of ``dextrack track``: both begin in ``dextrack_ros.preparation`` and leave the
conduct of the trial to ``dextrack_ros.operator``.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

from dextrack_deploy import graph
from dextrack_deploy.source import split_place, split_source
from dextrack_deploy.trial import TrialFolder
from dextrack_ros import dds
from dextrack_ros.preparation import TrialRequest, check_unused, default_folder, prepare
from dextrack_ros.processes import ONE_THREAD, PARENT_VARIABLE
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit, OnShutdown
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

_ARGUMENTS = (
    *graph.LAUNCH_ARGUMENTS,
    graph.LaunchArgument("object", "", "Object file; empty: found by the name that the reference has for it."),
    graph.LaunchArgument("params", "", "File of node parameters to use instead of the defaults: a changed copy of config/params.yaml."),
    graph.LaunchArgument("at", "", "Where the object lies: x, y in m, turn about the vertical in degrees, as 0.1,-0.2,30; empty: the best place."),
    graph.LaunchArgument("out", "", "Trial folder; empty: runs/<name>-<date>."),
    graph.LaunchArgument("seed", "0", "Seed of placement and of the twin's noise."),
    graph.LaunchArgument("zero_mismatch", "false", "Run the twin with the physics of mining; the report says so.", ("true", "false")),
)


def generate_launch_description() -> LaunchDescription:
    """The arguments, and the function that turns their values into processes."""
    declared = [DeclareLaunchArgument(a.name, default_value=a.default, description=a.description, choices=list(a.choices) or None) for a in _ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Prepare the trial and give its processes. A DexTrackError ends the launch with its reason."""
    value = {a.name: LaunchConfiguration(a.name).perform(context) for a in _ARGUMENTS}
    yes = {k: value[k] == "true" for k in ("record", "dry_run", "zero_mismatch")}
    out = Path(value["out"] or default_folder(value["reference"]))
    command = " ".join(["ros2 launch dextrack track.launch.py", *(f"{k}:={v}" for k, v in value.items() if v)])
    owned = ExitStack()
    folder = owned.enter_context(TrialFolder(out).locked())
    check_unused(folder)
    source, name = split_source(value["reference"])
    texts = {k: value[k] for k in ("object", "cell", "mode", "hand", "params", "backend", "backend_address")}
    at = split_place(value["at"])
    prepared = prepare(TrialRequest(source, name, at=at, seed=int(value["seed"]), speed=float(value["speed"]), command=command, **texts, **yes), folder)
    folder.point_latest()
    environment = {**dds.settings(os.environ), PARENT_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1", **ONE_THREAD}
    nodes = [_node(name, ["--ros-args", "--params-file", str(prepared.parameters)], environment) for name in prepared.nodes]
    operator = _node("operator", ["--trial", str(folder.path)], environment)
    end = OnProcessExit(target_action=operator, on_exit=_end)
    # The folder stays ours until launch ends.
    release = OnShutdown(on_shutdown=lambda event, context: owned.close())
    return [RegisterEventHandler(end), RegisterEventHandler(release), *nodes, operator]


def _end(event: ProcessExited, context: LaunchContext) -> EmitEvent:
    """The operator is done: so is the launch, with an exit code that tells a failed trial."""
    if event.returncode:
        raise RuntimeError(f"the trial failed: the operator ended with exit code {event.returncode}")
    return EmitEvent(event=Shutdown(reason="the trial is over"))


def _node(name: str, arguments: list[str], environment: dict[str, str]) -> Node:
    """The process of one node: by module and interpreter, which is the same in a workspace that colcon built and in an environment of pip."""
    module = ["-m", f"dextrack_ros.{name}"]
    return Node(executable=sys.executable, arguments=[*module, *arguments], exec_name=name, additional_env=environment, output="screen")
