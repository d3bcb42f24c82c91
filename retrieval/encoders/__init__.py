"""Encode: pixels, windows and text in, unit vectors out."""
