"""Recordings and the references that are retargeted from them."""
