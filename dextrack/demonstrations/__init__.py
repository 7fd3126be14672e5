"""Demonstrations and the file that keeps them."""
