"""The one protocol through which long work reports its progress.

Messages go to `logging`: every module logs to the logger of its own name. Counts go to a
`Progress`.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of long work. The command line draws a bar from it."""

    def __call__(self, task: str, done: float, total: float | None, note: str = "") -> None:
        """Receive one update.

        Args:
            task: Name of the current task, such as `embedding`. A new name starts a new task.
            done: Units finished so far.
            total: Units in all, or None while the number is unknown.
            note: Further facts to show, such as a rate or a loss.
        """


def no_progress(task: str, done: float, total: float | None, note: str = "") -> None:
    """Ignore the update; the default wherever progress is optional."""
