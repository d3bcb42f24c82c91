"""Progress bars on standard error, drawn from the library's `Progress` calls."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from cli.terminal import cell, console
from retrieval.progress import Progress


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar on standard error; each new task name restarts it.

    Yields:
        The callable to pass to the library.
    """
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
    ) as bar:
        row = bar.add_task("", total=None, note="", visible=False)
        current: str | None = None

        def show(task: str, done: float, total: float | None, note: str = "") -> None:
            nonlocal current
            if task != current:
                bar.reset(row, description=str(cell(task)), visible=True)
                current = task
            bar.update(row, completed=done, total=total, note=str(cell(note)))

        yield show
