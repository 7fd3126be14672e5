"""Calibration of a cell: what must be measured on the hardware before it may move.

The routines arrive with the hardware cell; calibration as validated data is in ``dextrack_deploy.cell``.
"""
