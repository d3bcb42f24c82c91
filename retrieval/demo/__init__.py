"""Generates the demo world: pictures, tunes and videos with exact captions and moments."""
