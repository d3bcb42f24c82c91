"""Embeds, indexes and searches collections on a Ray cluster."""
