"""Carries errors of nodes to the coordinator, which raises them as its own."""

from __future__ import annotations

import socket
from dataclasses import dataclass

import retrieval.errors
from retrieval.errors import ClusterError, RetrievalError


@dataclass(frozen=True, slots=True)
class Problem:
    """An error that ends a run.

    Attributes:
        kind: Name of the error's class in `retrieval.errors`.
        message: One line, which names the node.
    """

    kind: str
    message: str


def problem_of(error: RetrievalError) -> Problem:
    """Describe an error of this node."""
    message = " ".join(str(error).split())
    return Problem(type(error).__name__, f"node {socket.gethostname()}: {message}")


def error_of(problem: Problem) -> RetrievalError:
    """Return the error of a problem."""
    kind = getattr(retrieval.errors, problem.kind, ClusterError)
    error = kind(problem.message)
    assert isinstance(error, RetrievalError)
    return error
