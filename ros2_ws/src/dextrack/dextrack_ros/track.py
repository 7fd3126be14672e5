"""Run a reference or demonstration on a cell: a trial over ROS 2, with its report."""

from __future__ import annotations

import dataclasses
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import tyro
from dextrack_deploy.source import split_source
from dextrack_deploy.trial import EventLog, TrialFolder, TrialOutcome
from rich.console import Console
from rich.markup import escape

from dextrack.errors import DexTrackError, DriverError, InputError
from dextrack_ros import dds
from dextrack_ros.again import again, ask_again, lay_there, lies_now
from dextrack_ros.conclusion import EXIT_FAILED, EXIT_REFUSED, conclude
from dextrack_ros.interruption import Interruption, uninterruptible
from dextrack_ros.keys import Keys, attended
from dextrack_ros.preparation import TASK_FILE, PreparedTrial, TrialRequest, check_unused, default_folder, prepare
from dextrack_ros.processes import Processes

Say = Callable[[str], None]
"""Takes a line for the operator to read."""


@dataclasses.dataclass(frozen=True)
class Track:
    """Run a reference or demonstration on a cell, and report on it."""

    demonstration: Path | None = None
    """Demonstration store (.h5) to replay from, or store.h5:name."""
    name: str = ""
    """Name of the demonstration in the store; not needed where there is only one."""
    reference: Path | None = None
    """Reference (.npz) to run without a demonstration."""
    again: Path | None = None
    """Folder of an earlier trial to do again as it was asked for, with the object where its camera saw it last; options given beside it win."""
    put_back: bool = False
    """With --again: the object was put back where that trial began."""
    object: str = ""
    """Object file; by default found by its name."""
    cell: str = "twin"
    """Name of a cell configuration, or a path to one."""
    at: tuple[float, float, float] | None = None
    """Where the object lies: x and y in m, and its turn about the vertical from how the task begins, degrees; by default the best place is found."""
    out: Path | None = None
    """Trial folder; by default runs/<name>-<date>, or a folder of that name beside the earlier trial."""
    seed: int = 0
    """Seed of placement and of the twin's noise."""
    placement_seed: int | None = None
    """Seed of placement, where it is not to be that of the noise: trials with one of these begin at one place."""
    zero_mismatch: bool = False
    """Run the twin with the physics of mining; the report says so."""
    dry_run: bool = False
    """Do everything except move."""
    speed: float = 1.0
    """How fast the run plays, as a part of its own speed, 0.1 to 1."""
    backend: str = ""
    """What is behind the shadow simulator: mujoco, isaacgym, mujoco_warp or remote; by default as the parameter file says."""
    backend_address: str = ""
    """Of a remote backend: where `dextrack sim serve` listens."""
    record: bool = True
    """Record the trial log."""
    params: str = ""
    """File of node parameters, made from config/params.yaml of the ROS package."""
    domain: int | None = None
    """ROS domain id; by default that of ROS_DOMAIN_ID where it is set, else a free one."""
    ask: bool = True
    """In a terminal, ask after a trial that did not pass whether to do it again."""


def main(args: list[str]) -> int:
    """Run the verb; the exit code is 0 only where the trial did its task."""
    return run(args, "track", __doc__ or "")


def run(args: list[str], verb: str, description: str) -> int:
    """Run ``dextrack <verb>``, which is described by ``description``, with the options of `dextrack track`; the exit code is as its."""
    options = tyro.cli(Track, args=args, prog=f"dextrack {verb}", description=description)
    command, began_in = shlex.join(["dextrack", verb, *args]), dict(os.environ)
    request = _request(options, command, verb) if options.again is None else _request_again(options, args, command, verb)
    own = default_folder(request.name or str(request.source))
    out = options.out or (own if options.again is None else options.again.resolve().parent / own.name)
    console = Console(highlight=False)
    with TrialFolder(out).locked() as folder, Interruption() as interruption:
        check_unused(folder)
        folder.point_latest()
        outcome = _trial(request, folder, options.domain, console, interruption)
        code = conclude(folder, outcome, request.dry_run, lambda line: console.print(escape(line)))
    if code in (EXIT_FAILED, EXIT_REFUSED) and not request.dry_run and options.ask and (folder.path / TASK_FILE).exists():
        _offer_again(folder, options, console, began_in)
    return code


def _offer_again(folder: TrialFolder, options: Track, console: Console, environment: dict[str, str]) -> None:
    """Do the trial in ``folder`` again where a person at the terminal wants it; elsewhere say how."""
    if not attended():
        console.print(f"again, with the object where it lies now: {shlex.join(['dextrack', 'track', '--again', str(folder.path)])}")
        return
    try:
        arguments = ask_again(folder, lambda question: console.input(escape(question)))
    except (EOFError, KeyboardInterrupt):
        return
    if arguments is not None:
        # A process of its own, in the environment that this one began in: rclpy keeps the log folder and the domain of the first trial as long as it lives.
        more = [] if options.domain is None else ["--domain", str(options.domain)]
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, "-m", "dextrack", "track", *arguments, *more], environment)


_OWN = tuple(f.name for f in dataclasses.fields(Track) if f.name in {g.name for g in dataclasses.fields(TrialRequest)} - {"source", "command"})
"""Options that a request has under the same name."""


def _request(options: Track, command: str, verb: str) -> TrialRequest:
    """What the options ask for.

    Raises:
        InputError: not exactly one of a demonstration and a reference is given.
    """
    source = options.demonstration or options.reference
    if source is None or (options.demonstration and options.reference):
        what = f"{verb}: give a demonstration, a reference or an earlier trial, one of them."
        raise InputError(what, remedy="for example --demonstration demonstrations.h5 --name apple_lift.")
    if options.put_back:
        raise InputError(f"{verb}: --put-back is only for a trial that is done again.", remedy="give --again with its folder, or leave --put-back out.")
    own = {name: getattr(options, name) for name in _OWN}
    if options.demonstration and not options.name:
        source, own["name"] = split_source(str(source))
    return TrialRequest(source, command=command, **own)


def _request_again(options: Track, args: list[str], command: str, verb: str) -> TrialRequest:
    """What the options ask for beside an earlier trial: what was asked for then, where they do not say otherwise.

    Raises:
        InputError: they contradict each other, or there is no such trial.
        RefusedError: see ``lies_now``.
    """
    assert options.again is not None
    if options.demonstration or options.reference or options.name or options.object:
        what = f"{verb}: --again is of what the earlier trial was of."
        raise InputError(what, remedy="leave --demonstration, --reference, --name and --object out, or --again.")
    if options.put_back and options.at is not None:
        raise InputError(f"{verb}: --put-back and --at both say where the object lies.", remedy="give one of them.")
    folder = TrialFolder(options.again)
    before = again(folder)
    # Parsed once more, over what was asked for then: whatever is given wins, a default's value too.
    parsed = tyro.cli(Track, args=args, default=dataclasses.replace(Track(), **{name: getattr(before, name) for name in _OWN}))
    at = parsed.at or (lay_there(folder) if options.put_back else lies_now(folder))
    return dataclasses.replace(before, **{**{name: getattr(parsed, name) for name in _OWN}, "at": at, "command": command})


def _trial(request: TrialRequest, folder: TrialFolder, domain: int | None, console: Console, interruption: Interruption) -> TrialOutcome:
    """Prepare and run; however that goes, the answer is an outcome."""
    began = time.monotonic()

    def say(line: str) -> None:
        console.print(f"{time.monotonic() - began:6.1f} s  {escape(line)}")

    try:
        say(f"placing {request.name or request.source.name} on cell {request.cell}")
        prepared = prepare(request, folder)
        say(f"the object begins at {prepared.where}")
        if prepared.note:
            say(f"note: {prepared.note}")
        return _run(prepared, domain, say, interruption)
    except DexTrackError as error:
        say(str(error))
        return TrialOutcome("refused", str(error))
    except KeyboardInterrupt:
        say("interrupted")
        return TrialOutcome("interrupted", "the operator ended the trial (Ctrl-C or SIGTERM)")


def _run(prepared: PreparedTrial, domain: int | None, say: Say, interruption: Interruption) -> TrialOutcome:
    """Start every node, conduct the trial, and end every node."""
    dds.keep_on_loopback()
    os.environ["ROS_LOG_DIR"] = str((prepared.folder.path / "log").resolve())
    os.environ[dds.DOMAIN_VARIABLE] = str(dds.chosen_domain(domain, os.environ))
    folder = prepared.folder
    say(f"starting {len(prepared.nodes)} nodes in ROS domain {os.environ[dds.DOMAIN_VARIABLE]}; their logs are in {folder.path / 'log'}")
    with Processes(folder.path / "log", os.environ) as processes:
        for name in prepared.nodes:
            processes.start(name, f"dextrack_ros.{name}", ["--ros-args", "--params-file", str(prepared.parameters)])
        with interruption.deferred():
            return _conduct(prepared, processes, say, interruption)


def _conduct(prepared: PreparedTrial, processes: Processes, say: Say, interruption: Interruption) -> TrialOutcome:
    """Take the trial through its steps while watching its processes."""
    # Imported while the nodes import the same.
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from dextrack_ros.operator import Operator

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    watch = ProcessWatch(processes, prepared.folder, say)
    keys = Keys()

    def look() -> None:
        interruption.check()
        watch.look()
        for what in keys.pressed():
            operator.press(what)

    operator = Operator(prepared.nodes, say, look, asks=bool(prepared.hardware))
    if keys.enabled:
        say(Keys.HELP)
    try:
        return watch.explain(operator.conduct(prepared.seconds, prepared.dry_run, attended=keys.enabled))
    except KeyboardInterrupt:
        say("interrupted: holding, and ending the nodes")
        with uninterruptible():
            operator.stop()
        raise
    finally:
        keys.close()
        operator.close()
        rclpy.shutdown()
        watch.close()


class ProcessWatch:
    """Notices processes that end before they should, and says why on screen, in the events and in the outcome."""

    def __init__(self, processes: Processes, folder: TrialFolder, say: Say) -> None:
        """Watch ``processes``; events go into ``folder``."""
        self._processes = processes
        self._events = EventLog(folder.events)
        self._say = say
        self._deaths: list[str] = []

    def look(self) -> None:
        """Note processes that ended; to be called often.

        Raises:
            DriverError: the supervisor's process died: nobody else would end the trial. The drivers hold by themselves.
        """
        for process, code in self._processes.ended():
            if code == 0:
                continue
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            death = f"the process of node {process.name} {how}"
            self._deaths.append(death)
            words = process.last_words()
            self._events.write("node ended", time.time_ns(), durable=True, node=process.name, exit_code=code, reason=death, last_words=words)
            self._say(f"{death}{': ' + words if words and code > 0 else ''}")
            if process.name == "supervisor" or code > 0:
                raise DriverError(f"{death}.", remedy=f"read {process.log}, and start again.")

    def explain(self, outcome: TrialOutcome) -> TrialOutcome:
        """``outcome`` with the deaths that led to it."""
        if outcome.complete or not self._deaths or all(d in outcome.reason for d in self._deaths):
            return outcome
        return dataclasses.replace(outcome, reason="; ".join([outcome.reason, *self._deaths]))

    def close(self) -> None:
        """Close the events."""
        self._events.close()
