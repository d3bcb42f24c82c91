"""Localizers, which find the moment inside a video or a long recording."""
