"""The command line: ``dextrack <verb>``. A verb's module is imported only when its verb is called, so help stays fast."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable

from dextrack import __version__
from dextrack.cli import interrupt
from dextrack.errors import DexTrackError, InputError

VERBS: dict[str, tuple[str, str]] = {
    "data": ("dextrack.cli.data", "fetch a data set, or check what is installed"),
    "retarget": ("dextrack.cli.retarget", "turn a recording into a reference, with its diagnosis"),
    "predict": ("dextrack.cli.predict", "say what mining will make of references: odds, and what speaks against each"),
    "mine": ("dextrack.cli.mine", "find a demonstration that tracks a reference, with its verdict"),
    "evaluate": ("dextrack.cli.evaluate", "report what mining achieved, what failed and why, with pictures"),
    "export": ("dextrack.cli.export", "write demonstrations as a LeRobotDataset v3, or as the files of the DexTrack authors' release"),
    "view": ("dextrack.cli.view", "show a recording, a reference or a demonstration in the browser, or as a strip of key frames"),
    "sim": ("dextrack.cli.sim", "check a physics backend on this machine, or serve one to another process"),
}
"""The core's verbs, in the order of the flow: name -> (module, one-line help). A module has ``main(args: list[str]) -> int``."""

PLUGIN_GROUP = "dextrack.verbs"
"""Entry points of this group add verbs: name = module, built like the core's; its docstring's first line is the help."""

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


def verbs() -> dict[str, tuple[str, str]]:
    """Every verb that is installed, as name -> (module, one-line help): the core's first, then plug-ins by name."""
    from importlib.metadata import entry_points  # not above: a Ctrl-C before `main` prints a traceback, so this module is imported fast

    found = dict(VERBS)
    for point in sorted(entry_points(group=PLUGIN_GROUP), key=lambda point: point.name):
        found.setdefault(point.name, (point.module, _summary(point.module)))
    return found


def main(argv: list[str] | None = None) -> int:
    """Run ``dextrack`` with ``argv`` (default: the process's arguments).

    Returns:
        The exit code: the verb's own; 2 after an error that DexTrack explains in one line; 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        with interrupt.kept():
            return _run(arguments)
    except DexTrackError as error:
        _print_error(error.what, error.remedy)
        return EXIT_ERROR
    except ModuleNotFoundError as error:
        name = (error.name or "").split(".")[0]
        if name.startswith("dextrack"):
            raise  # ours: a defect, and the traceback says where
        _print_error("the Python package that provides %r is not installed." % name, "run `make setup`, or install dextrack-core with the extra that names it.")
        return EXIT_ERROR
    except BrokenPipeError:
        # The reader, as `head`, has seen enough; the interpreter flushes once more on exit and must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except OSError as error:
        where = "" if error.filename is None else "%s: " % error.filename
        _print_error("%sthe system refused a file or device (%s)." % (where, error.strerror or error), "check the path, its permissions and the disk's space.")
        return EXIT_ERROR
    except KeyboardInterrupt:
        _print_error("interrupted.", "run the same command again; finished steps are kept.")
        return EXIT_INTERRUPTED


def _run(arguments: list[str]) -> int:
    """What ``main`` does, with the errors that it explains."""
    if not arguments or arguments[0] in ("-h", "--help"):
        _print_help()
        return 0 if arguments else EXIT_ERROR
    if arguments[0] == "--version":
        print("dextrack %s" % __version__)
        return 0
    with interrupt.at_once():
        verb = _verb(arguments[0])
    return verb(arguments[1:])


def _verb(name: str) -> Callable[[list[str]], int]:
    """Import the module of verb ``name`` and give its ``main``.

    Raises:
        InputError: there is no such verb.
    """
    known = verbs()
    if name not in known:
        raise InputError("%r is no verb of dextrack." % name, remedy="choose one of: %s." % ", ".join(known))
    run: Callable[[list[str]], int] = importlib.import_module(known[name][0]).main
    return run


def _summary(module: str) -> str:
    """First line of a module's docstring, read from its source: importing it could take seconds."""
    import ast
    import importlib.util

    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        return "(not installed: %s)" % module
    with open(spec.origin, encoding="utf-8") as source:
        text = ast.get_docstring(ast.parse(source.read())) or ""
    return text.split("\n")[0].rstrip(".")


def _print_help() -> None:
    """Print usage and the table of verbs."""
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, (_, summary) in verbs().items():
        table.add_row("  [bold]%s[/bold]" % name, summary)
    console = Console(highlight=False)
    console.print("usage: dextrack \\[-h] \\[--version] VERB ...\n\nFrom a recording of a human hand moving an object to a robot hand doing it.\n")
    console.print(table)
    console.print("\n`dextrack VERB --help` describes a verb. Data sets lie in the user data folder (DEXTRACK_DATA overrides), runs in runs/.")


def _print_error(what: str, remedy: str) -> None:
    """Print one line on standard error: what happened, and what the user can do."""
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble(("error: ", "bold red"), what, (" Remedy: ", "bold"), remedy)
    Console(stderr=True, highlight=False).print(line, soft_wrap=True)
