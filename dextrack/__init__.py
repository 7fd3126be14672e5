"""DexTrack: from a recording of a human hand moving an object to a robot hand doing it."""

__version__ = "0.1.0"
