"""Estimates the cost of embedding and indexing."""
