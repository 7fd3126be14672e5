"""Devices of a cell, each behind a small protocol with a counterpart in the twin.

``protocols`` says what a device is, ``registry`` which there are, ``guard`` what protects every one of them from its callers.
"""
