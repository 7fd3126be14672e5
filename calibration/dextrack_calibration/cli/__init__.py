"""Verbs that calibration adds to the command line."""
