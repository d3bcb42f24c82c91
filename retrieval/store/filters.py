"""From a condition to the ids of the items that it holds for, within a limit of time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.columns.arrow import column_type
from retrieval.columns.types import ColumnType
from retrieval.errors import FilterError
from retrieval.store.conditions import ColumnTypes, Condition, checked_condition
from retrieval.store.reader import Snapshot

if TYPE_CHECKING:
    import duckdb

DEADLINE_SECONDS = 10.0
"""CPU time that a condition may take."""

WALL_FACTOR = 10
"""A condition may take so many times the deadline on the clock: a loaded machine is no fault."""

FIRST_BLOCK, GROWTH, LARGEST_BLOCK = 64, 16, 1 << 20
"""Items that a condition is evaluated for at first, how much faster it goes on, and at most."""

BLOCKS_AT_LEAST = 10
"""A block should take no more than this fraction of the deadline."""


def matching_ids(
    snapshot: Snapshot, where: str, *, deadline_seconds: float = DEADLINE_SECONDS
) -> NDArray[np.int64]:
    """Sorted ids of the living items that a condition holds for.

    Args:
        snapshot: The generation to ask.
        where: For example `year > 2020 AND caption LIKE '%sea%'`.
        deadline_seconds: A condition that takes more CPU time is stopped, and so is one that takes
            ten times as long on the clock.

    Raises:
        FilterError: The condition is refused, names an unknown column, mixes types, or is slow.
    """
    condition = checked_condition(where, column_types(snapshot.items_schema()))
    names = dict.fromkeys(("item_id", *condition.columns))
    ids = evaluate(condition, snapshot.iter_columns(tuple(names)), deadline_seconds)
    return np.setdiff1d(ids, snapshot.removed_ids())


def column_types(schema: pa.Schema) -> ColumnTypes:
    """Names of the items' columns and the types that conditions see."""
    return tuple(
        (field.name, ColumnType.INT64 if field.type == pa.int32() else column_type(field.type))
        for field in schema
    )


def evaluate(
    condition: Condition, batches: Iterable[pa.RecordBatch], deadline_seconds: float
) -> NDArray[np.int64]:
    """Ids of all items that a condition holds for, sorted.

    It goes from block to block, small ones first: DuckDB looks for an interruption only after some
    100,000 rows, which a costly condition would take minutes for.

    Args:
        condition: Made by `checked_condition`.
        batches: The item ids and the columns of the condition.
        deadline_seconds: As for `matching_ids`.

    Raises:
        FilterError: DuckDB refuses the condition, or it takes longer than the deadline.
    """
    import duckdb

    found = [np.empty(0, np.int64)]
    pace = _Pace()
    with _connection(condition) as connection, _deadline(connection, deadline_seconds) as deadline:
        for table in _blocks(batches, pace):
            if deadline.over():
                raise _slow(deadline_seconds)
            began = time.thread_time()
            try:
                found.append(_run(connection, condition, table))
            except duckdb.InterruptException as error:
                raise _slow(deadline_seconds) from error
            except duckdb.Error as error:
                raise FilterError(f"--where: {_first_line(error)}") from error
            took = max(time.thread_time() - began, 1e-6)
            affordable = int(table.num_rows * deadline_seconds / BLOCKS_AT_LEAST / took)
            pace.rows = max(1, min(pace.rows * GROWTH, LARGEST_BLOCK, affordable))
    return np.sort(np.concatenate(found))


def _run(
    connection: duckdb.DuckDBPyConnection, condition: Condition, table: pa.Table
) -> NDArray[np.int64]:
    """Ids of one block that the condition holds for."""
    # A projection, not a filter: Arrow would evaluate parts of a filter by rules of its own.
    asked = connection.from_arrow(table).project(
        f"item_id, coalesce(CAST(({condition.sql}) AS BOOLEAN), FALSE) AS matches"
    )
    columns = asked.fetchnumpy()
    matching: NDArray[np.int64] = columns["item_id"][columns["matches"]]
    return np.asarray(matching, np.int64)


@dataclass(slots=True)
class _Pace:
    """How many items the next block holds."""

    rows: int = FIRST_BLOCK


def _blocks(batches: Iterable[pa.RecordBatch], pace: _Pace) -> Iterator[pa.Table]:
    """The same rows in tables of the wanted size; times without their zone, as conditions have."""
    waiting: pa.Table | None = None
    for batch in batches:
        table = pa.Table.from_batches([_without_zones(batch)])
        waiting = table if waiting is None else pa.concat_tables([waiting, table])
        while waiting.num_rows >= (rows := pace.rows):
            yield waiting.slice(0, rows)
            waiting = waiting.slice(rows)
    while waiting is not None and waiting.num_rows:
        rows = pace.rows
        yield waiting.slice(0, rows)
        waiting = waiting.slice(rows)


def _without_zones(batch: pa.RecordBatch) -> pa.RecordBatch:
    arrays = [
        array.cast(pa.timestamp("us")) if pa.types.is_timestamp(array.type) else array
        for array in batch.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


# ---------------------------------------------------------------- DuckDB


@contextmanager
def _connection(condition: Condition) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of its own that runs in this thread and opens nothing."""
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "enable_external_access": "false",
    }
    with duckdb.connect(config=config) as connection:
        with suppress(duckdb.CatalogException):  # older releases answer null as it is
            connection.execute("SET error_on_division_by_zero = false")
        for number, values in enumerate(condition.lists):
            connection.register(f"list{number}", pa.table({"value": values}))
        yield connection


class _Deadline:
    """Interrupts a connection when its thread has used its time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._clock = _thread_clock()
        self._cpu_began = self._clock()
        self._wall_began = time.monotonic()
        self._done = threading.Event()

    def over(self) -> bool:
        """Whether the CPU time or the clock has run out."""
        return self.left() <= 0

    def left(self) -> float:
        """Seconds that must pass at least before one of them runs out."""
        cpu = self._seconds - (self._clock() - self._cpu_began)
        wall = self._seconds * WALL_FACTOR - (time.monotonic() - self._wall_began)
        return min(cpu, wall)

    def watch(self) -> None:
        """Wait for the end of the work or of the time; runs in a thread of its own."""
        while not self._done.wait(max(self.left(), 0.001)):
            if self.over():
                self._connection.interrupt()

    def stop(self) -> None:
        """End the watch."""
        self._done.set()


@contextmanager
def _deadline(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[_Deadline]:
    deadline = _Deadline(connection, seconds)
    watcher = threading.Thread(target=deadline.watch, daemon=True)
    watcher.start()
    try:
        yield deadline
    finally:
        deadline.stop()
        watcher.join()


def _thread_clock() -> Callable[[], float]:
    """The CPU time of the calling thread, readable from others; of the process where none is."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return time.process_time
    clock = time.pthread_getcpuclockid(threading.get_ident())
    return lambda: time.clock_gettime(clock)


def _slow(deadline_seconds: float) -> FilterError:
    return FilterError(
        f"--where took longer than {deadline_seconds:g} s and was stopped; simplify it"
    )


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
