"""Check all that must be right before a trial, and move nothing: `dextrack track --dry-run`, with the same options."""

from __future__ import annotations

from dextrack_ros import track


def main(args: list[str]) -> int:
    """Run the verb; the exit code is 0 where an approach would be accepted."""
    return track.run([*args, "--dry-run"], "preflight", __doc__ or "")
