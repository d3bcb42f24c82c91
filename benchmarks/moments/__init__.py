"""Moment suites: description, run and scoring."""
