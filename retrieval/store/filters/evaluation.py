"""Evaluates conditions on the items of a collection within a time limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.columns.arrow import column_type
from retrieval.columns.types import ColumnType
from retrieval.errors import FilterError
from retrieval.store.filters.parsing import ColumnTypes, Condition, parse_condition
from retrieval.store.reader import Snapshot

if TYPE_CHECKING:
    import duckdb

DEADLINE_SECONDS = 10.0
"""CPU time limit of a condition."""

WALL_FACTOR = 10
"""The wall-clock limit is this multiple of the CPU limit, to tolerate loaded machines."""

FIRST_BLOCK, GROWTH, MAX_BLOCK = 64, 16, 1 << 20
"""Items in the first block, growth factor of the blocks, and items in the largest block."""

MIN_BLOCKS = 10
"""A block should take at most the deadline divided by this number."""


def matching_ids(
    snapshot: Snapshot,
    where: str,
    *,
    empty_columns: Sequence[pa.Field] = (),
    deadline_seconds: float = DEADLINE_SECONDS,
) -> NDArray[np.int64]:
    """Return the sorted ids of the items that match a condition, without removed items.

    Args:
        snapshot: The generation.
        where: For example `year > 2020 AND caption LIKE '%sea%'`.
        empty_columns: Columns that no item has; their values are null.
        deadline_seconds: Limit of CPU time; ten times this value is the limit of wall-clock time.

    Raises:
        FilterError: The condition is refused, or exceeds the time limit.
    """
    schema = pa.schema([*snapshot.items_schema(), *empty_columns])
    condition = parse_condition(where, filterable_columns(schema))
    names = dict.fromkeys(("item_id", *condition.columns))
    empty = [field for field in empty_columns if field.name in names]
    stored = tuple(name for name in names if name not in {field.name for field in empty})
    batches = (_with_nulls(batch, empty) for batch in snapshot.iter_columns(stored))
    ids = evaluate(condition, batches, deadline_seconds)
    return np.setdiff1d(ids, snapshot.removed_ids())


def filterable_columns(schema: pa.Schema) -> ColumnTypes:
    """Return the names of item columns and their types in conditions."""
    return tuple(
        (field.name, ColumnType.INT64 if field.type == pa.int32() else column_type(field.type))
        for field in schema
    )


def evaluate(
    condition: Condition, batches: Iterable[pa.RecordBatch], deadline_seconds: float
) -> NDArray[np.int64]:
    """Return the sorted ids of all items that match a condition.

    Blocks start small, because DuckDB checks for an interruption only every 100,000 rows or so,
    for which an expensive condition takes minutes.

    Args:
        condition: A condition from `parse_condition`.
        batches: The item ids and the columns of the condition.
        deadline_seconds: As for `matching_ids`.

    Raises:
        FilterError: DuckDB refuses the condition, or it exceeds the time limit.
    """
    import duckdb

    ids = [np.empty(0, np.int64)]
    size = _BlockSize()
    with _connection(condition) as connection, _deadline(connection, deadline_seconds) as deadline:
        for table in _blocks(batches, size):
            if deadline.is_over():
                raise _time_limit_error(deadline_seconds)
            start = time.thread_time()
            try:
                ids.append(_matching_ids(connection, condition, table))
            except duckdb.InterruptException as error:
                raise _time_limit_error(deadline_seconds) from error
            except duckdb.Error as error:
                reason = str(error).split("\n", 1)[0]
                raise FilterError(f"the condition cannot be evaluated: {reason}") from error
            seconds = max(time.thread_time() - start, 1e-6)
            affordable = int(table.num_rows * deadline_seconds / MIN_BLOCKS / seconds)
            size.rows = max(1, min(size.rows * GROWTH, MAX_BLOCK, affordable))
    return np.sort(np.concatenate(ids))


def _matching_ids(
    connection: duckdb.DuckDBPyConnection, condition: Condition, table: pa.Table
) -> NDArray[np.int64]:
    """Return the ids of one block that match the condition."""
    # A projection, because Arrow would evaluate parts of a filter by rules of its own.
    relation = connection.from_arrow(table).project(
        f"item_id, coalesce(CAST(({condition.sql}) AS BOOLEAN), FALSE) AS matches"
    )
    columns = relation.fetchnumpy()
    matching: NDArray[np.int64] = columns["item_id"][columns["matches"]]
    return np.asarray(matching, np.int64)


@dataclass(slots=True)
class _BlockSize:
    """Number of items in the next block."""

    rows: int = FIRST_BLOCK


def _blocks(batches: Iterable[pa.RecordBatch], size: _BlockSize) -> Iterator[pa.Table]:
    """Yield the rows in tables of the current size; times lose their zone, as in conditions."""
    pending: pa.Table | None = None
    for batch in batches:
        table = pa.Table.from_batches([_without_zones(batch)])
        pending = table if pending is None else pa.concat_tables([pending, table])
        while pending.num_rows >= (rows := size.rows):
            yield pending.slice(0, rows)
            pending = pending.slice(rows)
    while pending is not None and pending.num_rows:
        rows = size.rows
        yield pending.slice(0, rows)
        pending = pending.slice(rows)


def _with_nulls(batch: pa.RecordBatch, fields: Sequence[pa.Field]) -> pa.RecordBatch:
    """Append columns of nulls."""
    for field in fields:
        batch = batch.append_column(field, pa.nulls(batch.num_rows, field.type))
    return batch


def _without_zones(batch: pa.RecordBatch) -> pa.RecordBatch:
    arrays = [
        array.cast(pa.timestamp("us")) if pa.types.is_timestamp(array.type) else array
        for array in batch.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


# ---------------------------------------------------------------- DuckDB


@contextmanager
def _connection(condition: Condition) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a new in-memory database that uses one thread and no external files."""
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "enable_external_access": "false",
    }
    with duckdb.connect(config=config) as connection:
        with suppress(duckdb.CatalogException):  # older releases always return null
            connection.execute("SET error_on_division_by_zero = false")
        for number, values in enumerate(condition.lists):
            connection.register(f"list{number}", pa.table({"value": values}))
        yield connection


class _Deadline:
    """Interrupts a connection when its thread exceeds a time limit."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._clock = _thread_clock()
        self._cpu_start = self._clock()
        self._wall_start = time.monotonic()
        self._done = threading.Event()

    def is_over(self) -> bool:
        """Whether the limit of CPU or wall-clock time is exceeded."""
        return self.seconds_left() <= 0

    def seconds_left(self) -> float:
        """Return the minimum number of seconds until a limit is exceeded."""
        cpu = self._seconds - (self._clock() - self._cpu_start)
        wall = self._seconds * WALL_FACTOR - (time.monotonic() - self._wall_start)
        return min(cpu, wall)

    def watch(self) -> None:
        """Wait for `stop` or the limit; runs in a separate thread."""
        while not self._done.wait(max(self.seconds_left(), 0.001)):
            if self.is_over():
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
    """Return a clock of the calling thread's CPU time, or else of the process."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return time.process_time
    clock = time.pthread_getcpuclockid(threading.get_ident())
    return lambda: time.clock_gettime(clock)


def _time_limit_error(deadline_seconds: float) -> FilterError:
    return FilterError(
        f"the condition took longer than {deadline_seconds:g} s and was stopped; simplify it"
    )
