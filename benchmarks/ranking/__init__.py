"""Ranking suites: definition, run, and scoring."""
