"""Evaluation metrics and readers of official annotations."""
