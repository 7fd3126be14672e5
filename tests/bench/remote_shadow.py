"""A trial on the twin whose shadow simulator is served from another process, or from CPython 3.8, which is killed in the run and started again.

    python tests/bench/remote_shadow.py --demonstrations demonstrations.h5 [--task apple_lift]

The operator retreats from the hold, finds the approach refused while there is no server, and runs again when there is one. Under CPython 3.8 the server has
what stands in for Isaac Gym in the tests, for that needs a GPU; where there is no CPython 3.8 its row says so. Writes tests/bench/results/remote_shadow.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from backends import machine
from command_line import command_line
from dextrack_deploy.source import load_source
from dextrack_ros import dds

sys.path.insert(0, str(Path(__file__).parents[2]))

from dextrack.demonstrations import store
from dextrack.demonstrations.demonstration import Demonstration
from dextrack.files import write_json
from dextrack.references.library import find_object
from tests import python38

SCRIPT = Path(__file__).parents[1] / "ros" / "shadow_lost.py"
AFTER_S = 0.4
"""Of the run, when the server is killed: the hand has not touched the object yet, or nobody could run again without laying it back."""
RESULT = Path(__file__).parent / "results" / "remote_shadow.json"


def conducted(demonstration: Path, thing: Path, folder: Path, server: list[str]) -> dict[str, Any]:
    """What happened in one trial."""
    command = [sys.executable, str(SCRIPT), "--demonstration", str(demonstration), "--object", str(thing), "--out", str(folder / "trial")]
    command += ["--after", str(AFTER_S), *server]
    environment = {**os.environ, **dds.settings({}), "ROS_LOG_DIR": str(folder), "ROS_DOMAIN_ID": str(dds.free_domain())}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return {"ran": True, **json.loads(done.stdout)} if done.returncode == 0 else {"ran": True, "failed": done.stderr[-400:]}


def main() -> int:
    """Conduct both and write what happened; 0 where both ended as they should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demonstrations", type=Path, required=True)
    parser.add_argument("--task", default="apple_lift")
    options = parser.parse_args()
    found = load_source(options.demonstrations, options.task)
    assert isinstance(found, Demonstration)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store.save(folder / "one.h5", found)
        find_object(found.reference, near=options.demonstrations).save(folder / "object.npz")
        for label in ("MuJoCo on this Python", "stand-in of Isaac Gym on CPython 3.8"):
            server: list[str] = []
            row: dict[str, Any] = {"server": label}
            if "3.8" in label and python38.interpreter() is None:
                rows.append({**row, "ran": False, "reason": "there is no CPython 3.8"})
                continue
            if "3.8" in label:
                server = ["--server", str(python38.environment()), "isaacgym", "--server-path", python38.variables()["PYTHONPATH"]]
            of_this = folder / label.replace(" ", "_")
            of_this.mkdir()
            rows.append(row | conducted(folder / "one.h5", folder / "object.npz", of_this, server))
            print(json.dumps({k: v for k, v in rows[-1].items() if k != "states"}), flush=True)
    date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    write_json(RESULT, {"command": command_line(), "machine": machine(), "date": date, "task": options.task, "reference": found.reference.digest, "rows": rows})
    return 0 if all(row.get("again", {}).get("complete") for row in rows if row["ran"]) else 1


if __name__ == "__main__":
    sys.exit(main())
