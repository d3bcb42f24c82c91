"""Ranking suites: description, run and scoring."""
