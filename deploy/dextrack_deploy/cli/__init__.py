"""Verbs that the cell adds to the command line."""
