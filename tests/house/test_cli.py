"""``dextrack``: help that is fast and complete, errors in one line, exit codes that mean something."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dextrack.cli
from dextrack.cli import EXIT_ERROR, EXIT_INTERRUPTED, main, verbs
from dextrack.errors import RefusedError

SCRIPT = Path(sys.executable).parent / "dextrack"


class _Verb:
    """Stands for a verb's module: raises ``error``, or returns ``code``."""

    def __init__(self, error: BaseException | None = None, code: int = 0) -> None:
        self.error, self.code = error, code

    def main(self, args: list[str]) -> int:
        self.args = args
        if self.error is not None:
            raise self.error
        return self.code


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch):
    """Install a verb ``probe`` of the given behaviour."""

    def install(**behaviour) -> _Verb:
        module = _Verb(**behaviour)
        monkeypatch.setitem(sys.modules, "probe_verb", module)
        monkeypatch.setitem(dextrack.cli.VERBS, "probe", ("probe_verb", "a verb of this test"))
        return module

    return install


def test_help_is_fast_and_lists_every_verb() -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        result = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.5
    for name, (_, summary) in verbs().items():
        assert name in result.stdout
        assert summary
    assert "not installed" not in result.stdout


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from dextrack.cli import main; main(['--help']); print([m for m in ('torch', 'mujoco', 'scipy', 'rclpy') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.rstrip().endswith("[]")


@pytest.mark.parametrize("name", sorted(verbs()))
def test_every_verb_has_a_main(name: str) -> None:
    assert callable(importlib.import_module(verbs()[name][0]).main)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(verbs()))
def test_every_verb_describes_itself(name: str) -> None:
    result = subprocess.run([SCRIPT, name, "--help"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) >= 3


def test_unknown_verb_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["retraget"]) == EXIT_ERROR
    shown = capsys.readouterr().err
    assert "retraget" in shown and "retarget" in shown
    assert len(shown.strip().splitlines()) == 1


def test_no_arguments_is_an_error_that_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == EXIT_ERROR
    assert "usage: dextrack" in capsys.readouterr().out


def test_arguments_and_exit_code_pass_through(verb) -> None:
    module = verb(code=7)
    assert main(["probe", "--x", "1"]) == 7
    assert module.args == ["--x", "1"]


def test_error_is_one_line_with_its_remedy(verb, capsys: pytest.CaptureFixture[str]) -> None:
    verb(error=RefusedError("a.npz: the object [cup] moves 3 m in one frame.", remedy="check its unit; " + "give metres, " * 20))
    assert main(["probe"]) == EXIT_ERROR
    shown = capsys.readouterr().err
    assert "a.npz: the object [cup] moves 3 m in one frame. Remedy: check its unit" in shown
    assert len(shown.strip().splitlines()) == 1


def test_a_defect_keeps_its_traceback(verb) -> None:
    verb(error=ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["probe"])


def test_a_missing_package_of_others_has_a_remedy(verb, capsys: pytest.CaptureFixture[str]) -> None:
    verb(error=ModuleNotFoundError("No module named 'rclpy'", name="rclpy"))
    assert main(["probe"]) == EXIT_ERROR
    assert "'rclpy'" in capsys.readouterr().err
    verb(error=ModuleNotFoundError("No module named 'dextrack.gone'", name="dextrack.gone"))
    with pytest.raises(ModuleNotFoundError):
        main(["probe"])


def test_what_the_system_refuses_is_one_line(verb, capsys: pytest.CaptureFixture[str]) -> None:
    verb(error=PermissionError(13, "Permission denied", "runs/latest"))
    assert main(["probe"]) == EXIT_ERROR
    shown = capsys.readouterr().err
    assert "runs/latest" in shown and "Permission denied" in shown and "Remedy" in shown and len(shown.strip().splitlines()) == 1


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "chatter.py").write_text("def main(args):\n    while True:\n        print('line ' * 100)\n")
    code = "import sys, dextrack.cli as c; c.VERBS['chatter'] = ('chatter', ''); sys.exit(c.main(['chatter']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(timeout=60) == EXIT_ERROR
    process.stderr.close()


def test_interrupt_exits_130(verb, capsys: pytest.CaptureFixture[str]) -> None:
    verb(error=KeyboardInterrupt())
    assert main(["probe"]) == EXIT_INTERRUPTED
    assert "interrupted" in capsys.readouterr().err


def test_interrupting_the_process_exits_130_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text("import time\ndef main(args):\n    print('ready', flush=True)\n    time.sleep(60)\n")
    code = "import sys, dextrack.cli as c; sys.path.insert(0, %r); c.VERBS['sleep'] = ('sleeper', ''); sys.exit(c.main(['sleep']))" % str(tmp_path)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == EXIT_INTERRUPTED
    assert len(errors.strip().splitlines()) == 1 and "interrupted" in errors
