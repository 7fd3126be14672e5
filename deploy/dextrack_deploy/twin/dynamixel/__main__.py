"""The bus peer as a process: prints one line of JSON with its pseudo terminal and serves until SIGINT or SIGTERM.

python -m dextrack_deploy.twin.dynamixel --twin tcp://127.0.0.1:PORT
python -m dextrack_deploy.twin.dynamixel --alone
python -m dextrack_deploy.twin.dynamixel --alone --motors-file motors.json
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import numpy as np

from dextrack.errors import InputError
from dextrack.hands import load_hand
from dextrack.hands.motors import load_motors
from dextrack_deploy.twin.dynamixel.line import Adapter
from dextrack_deploy.twin.dynamixel.modelled import ModelledFingers
from dextrack_deploy.twin.dynamixel.peer import Peer
from dextrack_deploy.twin.dynamixel.plant import Lags, Plant, TwinFingers
from dextrack_deploy.twin.dynamixel.table import BAUD_RATES
from dextrack_deploy.twin.process import command_line, ending


@dataclasses.dataclass(frozen=True)
class Options:
    """A LEAP hand's motors behind a pseudo terminal."""

    twin: str = ""
    """The twin that they move: tcp://127.0.0.1:PORT, as it printed it."""
    alone: bool = False
    """Without a twin: every joint is a first-order lag."""
    motors_file: Path | None = None
    """For a peer alone: the hand's own physics with the motors of this file (as `dextrack calibrate motors` writes), instead of lags."""
    hand: str = "leap_right"
    """Whose rest pose the joints of a peer alone begin in."""
    motors: int = 16
    """Ids 0 to this, itself not included, are on the bus."""
    baud: int = BAUD_RATES[-1]
    """Baud of the motors."""
    latency_ms: float = 1.0
    """Latency timer of the adapter; 16 is what a system sets by itself."""
    payload: int = 510
    """Bytes of one USB packet: 510 of a U2D2, 62 of an adapter with an FT232R."""
    parent: int = 0
    """End when the parent of this process is no longer the process of this id; 0: whatever becomes of it."""


def serve(options: Options) -> None:
    """Run a peer until SIGINT or SIGTERM (or, where asked, the parent's end).

    Raises:
        InputError: the options contradict each other.
        DriverError: no twin answers.
    """
    if options.alone == bool(options.twin):
        raise InputError("a bus peer moves a twin's fingers or stands alone.", remedy="give either --twin or --alone.")
    if options.baud not in BAUD_RATES or not 1 <= options.motors <= 16 or options.latency_ms <= 0.0 or options.payload < 1:
        what = "baud is not one of %s, motors not 1 to 16, or latency or payload not positive." % ", ".join(map(str, BAUD_RATES))
        raise InputError("bus peer: %s" % what, remedy="correct the option.")
    if options.motors_file is not None and not options.alone:
        raise InputError("bus peer: --motors-file is given with --twin, whose motors are the twin's.", remedy="give --alone instead of --twin.")
    should_stop = ending(options.parent)
    plant = _plant(options)
    peer = Peer(plant, options.motors, options.baud, Adapter(latency_s=1e-3 * options.latency_ms, payload=options.payload))
    try:
        print(json.dumps({"pty": peer.pty, "control": peer.control, "pid": os.getpid()}), flush=True)
        peer.run(should_stop)
    finally:
        peer.close()


def _plant(options: Options) -> Plant:
    if not options.alone:
        return TwinFingers(options.twin)
    hand = load_hand(options.hand)
    return Lags(np.array(hand.rest)) if options.motors_file is None else ModelledFingers(hand, load_motors(options.motors_file))


def main() -> int:
    """Command line of the bus peer."""
    return command_line(Options, serve)


if __name__ == "__main__":
    sys.exit(main())
