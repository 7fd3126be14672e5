"""Calibration of a cell: what must be measured on the hardware before it may move.

``motors`` measures what drives the hand's joints. Calibration as validated data, which everybody else reads, is in ``dextrack_deploy.cell``.
"""
