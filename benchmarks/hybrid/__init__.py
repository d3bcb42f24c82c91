"""Comparison of vectors, texts, reciprocal rank fusion and the engine's own fusion."""
