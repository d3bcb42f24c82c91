"""Moment suites: definition, run, and scoring."""
