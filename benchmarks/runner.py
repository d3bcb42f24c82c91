"""Runs a suite with the runner of its type."""

from __future__ import annotations

from inspect import signature

from benchmarks.moments.suite import MomentSuite
from benchmarks.ranking.suite import RankingSuite
from benchmarks.results.outcome import Outcome
from benchmarks.suite import ProgramSuite, RunOptions, Suite

OPTIONS = ("folder", "data", "scale", "models", "localizer", "vectors", "texts", "progress")
"""Options that a program can take as keyword parameters."""


def run_suite(suite: Suite, options: RunOptions) -> Outcome:
    """Run a suite. Runners are imported here because they load torch and FAISS.

    Raises:
        SourceError: Files of the data set are missing or in another format, or the folder holds a
            collection of other items.
        UnknownModelError: A model does not exist or does not embed the files of the suite.
    """
    match suite:
        case RankingSuite():
            from benchmarks.ranking.run import run_ranking_suite

            return run_ranking_suite(suite, options)
        case MomentSuite():
            from benchmarks.moments.run import run_moment_suite

            return run_moment_suite(suite, options)
        case ProgramSuite():
            return _run_program(suite, options)
    raise TypeError(f"no runner for {type(suite).__name__}")


def _run_program(suite: ProgramSuite, options: RunOptions) -> Outcome:
    """Call a program with those options that its signature names."""
    program = suite.load()
    parameters = signature(program).parameters
    outcome = program(**{name: getattr(options, name) for name in OPTIONS if name in parameters})
    return outcome if isinstance(outcome, Outcome) else Outcome(outcome)
