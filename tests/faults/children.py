"""Cases in processes of their own, where a crash or a hang is the case's and nobody else's."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar, cast

from faults.cases import Case, Result

PRELOADED = (
    "torch", "faiss", "duckdb", "pyarrow.parquet", "pyarrow.dataset", "av", "soundfile", "soxr",
    "sqlglot", "rich.progress", "cli.main", "retrieval.collection", "retrieval.exchange.importing",
    "retrieval.exchange.exporting", "retrieval.search.indexing.part",
    "retrieval.media.archives.tar",
)  # fmt: skip
PROCESSES = 2
CHUNK = 20
SECONDS = 600.0
"""A case that takes longer hangs; far more than any needs, also on a machine with other work."""

Value = TypeVar("Value")

Run = Callable[[Case], str]
"""Does one case and returns its outcome; an exception says which promise was broken."""

# A server that has the libraries loaded, and used none of them yet, forks a child in no time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(list(PRELOADED))


def run_isolated(run: Run, cases: Iterable[Case], *, seconds: float = SECONDS) -> list[Result]:
    """Run every case in some child process; crashes and hangs are problems of their case."""
    todo = list(cases)
    chunks = [todo[first : first + CHUNK] for first in range(0, len(todo), CHUNK)]
    with ThreadPoolExecutor(PROCESSES) as threads:
        results = threads.map(partial(_run_chunk, run, seconds=seconds), chunks)
        return [result for chunk in results for result in chunk]


def run_together(run: Callable[[Case], Result], cases: Iterable[Case]) -> list[Result]:
    """Run cases in this process, which start processes of their own, a few at a time."""
    with ThreadPoolExecutor(PROCESSES) as threads:
        return list(threads.map(run, cases))


def start(target: Callable[..., Any], *arguments: Any) -> Any:
    """Start a child process."""
    process = forks.Process(target=target, args=arguments)
    process.start()
    return process


def run_in_child(
    function: Callable[..., Value], *arguments: Any, seconds: float = SECONDS
) -> Value:
    """Call a function in a child process, so that this one loads no models; its result.

    Raises:
        AssertionError: It raised something, crashed, or takes longer than so many seconds.
    """
    ours, theirs = forks.Pipe(duplex=False)
    child = start(_answer, theirs, function, arguments)
    theirs.close()
    try:
        assert ours.poll(seconds), f"no end after {seconds:g} s"
        value, wrong = ours.recv()
    except EOFError:
        child.join()
        wrong = f"ended with {child.exitcode}"
    finally:
        child.kill()
        child.join()
    assert not wrong, wrong
    return cast(Value, value)


def run_batches(
    run: Callable[[list[Case]], list[Result]], cases: Iterable[Case], size: int, seconds: float
) -> list[Result]:
    """Run cases in batches, each in a child process of its own."""
    todo = list(cases)
    batches = [todo[first : first + size] for first in range(0, len(todo), size)]

    def one(batch: list[Case]) -> list[Result]:
        try:
            return run_in_child(run, batch, seconds=seconds)
        except AssertionError as error:
            words = f"one of {len(batch)} cases from here on: {error}"
            return [Result(batch[0], "broken", words)]

    with ThreadPoolExecutor(PROCESSES) as threads:
        return [result for results in threads.map(one, batches) for result in results]


def _answer(pipe: Connection, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    try:
        pipe.send((function(*arguments), ""))
    except BaseException as error:
        pipe.send((None, problem(error)))


def _run_chunk(run: Run, chunk: Sequence[Case], *, seconds: float) -> list[Result]:
    results: list[Result] = []
    while len(results) < len(chunk):
        ours, theirs = forks.Pipe(duplex=False)
        child = start(_serve, theirs, run, chunk[len(results) :])
        theirs.close()
        while len(results) < len(chunk):
            case = chunk[len(results)]
            try:
                if not ours.poll(seconds):
                    results.append(Result(case, "hang", f"no end after {seconds:g} s"))
                    break
                results.append(Result(case, *ours.recv()))
            except EOFError:
                child.join()
                results.append(Result(case, "crash", f"exit code {child.exitcode}"))
                break
        child.kill()
        child.join()
    return results


def _serve(pipe: Connection, run: Run, chunk: Sequence[Case]) -> None:
    for case in chunk:
        try:
            pipe.send((run(case), ""))
        except BaseException as error:
            pipe.send(("broken", problem(error)))


def problem(error: BaseException) -> str:
    """An exception and where it was raised, in a few lines."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = " < ".join(f"{Path(one.filename).name}:{one.lineno}" for one in reversed(frames))
    notes = "; ".join(getattr(error, "__notes__", ()))
    return f"{type(error).__name__}: {str(error)[:600]} ({places}) {notes}"
