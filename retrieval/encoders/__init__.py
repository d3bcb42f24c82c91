"""Encoders: pixels, audio windows and texts in, unit vectors out."""
