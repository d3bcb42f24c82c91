"""Builds the index of a collection."""
