"""The formats of lists: rows of CSV, JSONL and Parquet with typed values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from retrieval.columns.notices import Notices
from retrieval.errors import SourceError
from retrieval.files.reading import check_regular
from retrieval.media.lists.encodings import TextEncoding

Row = Mapping[str, object]
NumberedRow = tuple[int, Row | SourceError]
"""A row as its format gives it, or what is wrong with it."""


class ListReader(Protocol):
    """Reads the rows of one format.

    `texts` are columns that are text whatever they hold; `expected` are names of which a header
    has one.
    """

    def __call__(
        self,
        path: str,
        encoding: TextEncoding,
        notices: Notices,
        *,
        texts: Sequence[str],
        expected: Sequence[str],
    ) -> Iterator[NumberedRow]:
        """Yield the rows, numbered from 1."""
        ...


def read_jsonl(
    path: str,
    encoding: TextEncoding,
    notices: Notices,
    *,
    texts: Sequence[str],
    expected: Sequence[str],
) -> Iterator[NumberedRow]:
    """Read an object a line; types are JSON's own."""
    with encoding.open(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = read_json(line)
            except (ValueError, RecursionError) as error:
                yield number, SourceError(f"{path}, row {number}: {error}; mend the line")
                continue
            if not isinstance(row, dict):
                row = SourceError(f"{path}, row {number}: expected an object, as {{…}}")
            yield number, row


def read_json(text: str | bytes) -> object:
    """Parse JSON without losing digits: a number that no double holds exactly is a Decimal.

    Raises:
        ValueError: Not JSON.
        RecursionError: Nested too deep.
    """
    return json.loads(text, parse_float=_exact, parse_int=_integer)


_EXACT_CHARACTERS = 16
"""A decimal of so many characters is a double without loss."""

_PRINTED_DIGITS = 4_000
"""Python refuses to read longer integers."""


def _exact(text: str) -> float | Decimal:
    nearest = float(text)
    if len(text) <= _EXACT_CHARACTERS or math.isinf(nearest):
        return nearest
    value = Decimal(text)
    return nearest if Decimal(repr(nearest)) == value else value


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _PRINTED_DIGITS else Decimal(text)


def read_parquet(
    path: str,
    encoding: TextEncoding,
    notices: Notices,
    *,
    texts: Sequence[str],
    expected: Sequence[str],
) -> Iterator[NumberedRow]:
    """Read the columns that are not binary."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from retrieval.columns.arrow import is_binary, python_values

    number = 0
    try:
        check_regular(path)
        with pq.ParquetFile(path) as file:
            bytes_columns = [field.name for field in file.schema_arrow if is_binary(field.type)]
            for name in bytes_columns:
                notices.add(f"column {name!r} is binary; left out", source=path)
            names = [name for name in file.schema_arrow.names if name not in bytes_columns]
            for batch in file.iter_batches(batch_size=4096, columns=names):
                columns = [python_values(column) for column in batch.columns]
                for values in zip(*columns, strict=True):
                    number += 1
                    yield number, dict(zip(batch.schema.names, values, strict=True))
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise SourceError(f"{path}, after row {number}: {reason}; write it again") from error
