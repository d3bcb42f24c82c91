"""Progress bars on standard error, drawn from the library's `Progress` calls."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cli.terminal import cell, console
from retrieval.progress import Progress, no_progress

DRAW_SECONDS = 0.05
"""Shortest time between two updates of a bar."""


@contextmanager
def progress_bar(*, transient: bool = False) -> Iterator[Progress]:
    """Show a bar on standard error; each new task name restarts it.

    Args:
        transient: Erase the bar at the end, and show it on a terminal only.

    Yields:
        The callable to pass to the library.
    """
    if transient and not sys.stderr.isatty():
        yield no_progress
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress

    with RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console(stderr=True),
        # Piped results must reach the pipe, not the console of the bar.
        redirect_stdout=sys.stdout.isatty(),
        transient=transient,
    ) as bar:
        row = bar.add_task("", total=None, note="", visible=False)
        current: str | None = None
        drawn_at = 0.0
        pending: dict[str, Any] = {}

        def show(task: str, done: float, total: float | None, note: str = "") -> None:
            nonlocal current, drawn_at
            if task != current:
                bar.reset(row, description=str(cell(task)), visible=True)
                current, drawn_at = task, 0.0
            pending.update(completed=done, total=total, note=note)
            # Drawing takes longer than comparing one file with the collection.
            if (now := time.monotonic()) - drawn_at >= DRAW_SECONDS:
                drawn_at = now
                bar.update(row, **pending | {"note": str(cell(note))})

        try:
            yield show
        finally:
            if pending:
                bar.update(row, **pending | {"note": str(cell(pending["note"]))})
