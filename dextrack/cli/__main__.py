"""``python -m dextrack.cli`` is ``dextrack``."""

from __future__ import annotations

import sys

from dextrack.cli import main

if __name__ == "__main__":
    sys.exit(main())
