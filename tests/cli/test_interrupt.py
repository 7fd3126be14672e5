"""Ctrl-C at any moment: in the middle of an import that would swallow it, and before the work has begun."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from dextrack.cli import EXIT_INTERRUPTED

# As an optional dependency does: whatever goes wrong while it is imported, go on without it.
SWALLOWS = "import time\nprint('ready', flush=True)\ntry:\n    time.sleep(1)\nexcept BaseException:\n    pass\n"
LATER = "import time\ndef main(args):\n    import swallows\n    time.sleep(60)\n"
SLOW = "import time\nprint('ready', flush=True)\ntime.sleep(60)\ndef main(args):\n    return 0\n"


def interrupted(tmp_path: Path, module: str) -> tuple[int, str]:
    """Exit code and standard error of a verb that is interrupted as soon as it prints."""
    code = "import sys, dextrack.cli as c; sys.path.insert(0, %r); c.VERBS['x'] = (%r, ''); sys.exit(c.main(['x']))" % (str(tmp_path), module)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    return process.returncode, errors


def test_an_import_that_swallows_it_does_not(tmp_path: Path) -> None:
    (tmp_path / "swallows.py").write_text(SWALLOWS)
    (tmp_path / "later.py").write_text(LATER)
    code, errors = interrupted(tmp_path, "later")
    assert code == EXIT_INTERRUPTED and len(errors.strip().splitlines()) == 1 and "interrupted" in errors


def test_before_the_work_it_ends_the_process_at_once_and_quietly(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    assert interrupted(tmp_path, "slow") == (-signal.SIGINT, "")
