"""The exceptions of DexTrack. Every message names the file or field, the cause and the remedy."""

from __future__ import annotations


class DexTrackError(Exception):
    """Base of every error that DexTrack raises on purpose; the command line prints it without a traceback."""

    def __init__(self, what: str, *, remedy: str) -> None:
        """Keep ``what`` (file or field, and cause) and ``remedy`` (what the user can do) apart."""
        super().__init__("%s Remedy: %s" % (what, remedy))
        self.what = what
        self.remedy = remedy

    def __reduce__(self):  # type: ignore[no-untyped-def]
        """So that it comes back from another process as it was."""
        return _again, (type(self), self.what, self.remedy)


def _again(kind: type, what: str, remedy: str) -> object:
    return kind(what, remedy=remedy)


class InputError(DexTrackError):
    """A file or value from outside is not what it should be."""


class RefusedError(DexTrackError):
    """The input is well formed, but DexTrack will not act on it: hopeless reference, unreachable placement, busy folder."""


class SimulationError(DexTrackError):
    """Physics left the range of finite numbers."""


class DriverError(DexTrackError):
    """A device, or the process that stands for it, did not answer as its protocol says."""
