"""Read media stored in Parquet, as Hugging Face data sets are: the bytes of one file in each row.

A column of `struct{bytes, path}` holds the media, whatever its name. The other columns are metadata
of the item, as in a list.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from retrieval.columns.types import nested_to_text
from retrieval.errors import DamagedMediaError
from retrieval.files.reading import check_regular
from retrieval.media.captions import join_captions
from retrieval.media.files import OpenFile
from retrieval.media.lists.rows import CAPTION_COLUMNS
from retrieval.media.names import quote
from retrieval.types import Failure, Source

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BATCH_ROWS = 16
"""Rows read at a time; each row holds a complete file."""


def holds_media(path: str) -> bool:
    """Whether a Parquet file has a column of media; False for one that cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _media_column(pq.read_schema(path)) is not None
    except (OSError, pa.ArrowException):
        return False


def open_rows(source: Source) -> Iterator[OpenFile | Failure]:
    """Yield the media of a Parquet file row by row, and a failure for each row without media."""
    import pyarrow as pa

    status = os.stat(source.path)
    try:
        with _open(source.path) as file:
            for member, content, row in _read_rows(file, with_columns=True):
                uri = f"{source.uri}!{quote(member)}"
                if not content:
                    reason = "the row holds no bytes; store the files themselves in the column"
                    yield Failure(uri, "open", reason, 0, status.st_mtime)
                    continue
                captions = [row.pop(name) for name in CAPTION_COLUMNS if name in row][:1]
                yield OpenFile(
                    uri,
                    member,
                    io.BytesIO(content),
                    len(content),
                    status.st_mtime,
                    join_captions(captions) or source.caption or ("" if captions else None),
                    source.columns | {name: nested_to_text(value) for name, value in row.items()},
                    rereads=source.rereads,
                )
    except (OSError, pa.ArrowException) as error:
        reason = f"the Parquet file cannot be read ({str(error).splitlines()[0]}); write it again"
        yield Failure(source.uri, "open", reason, status.st_size, status.st_mtime)


@contextmanager
def open_row(path: str, member: str) -> Iterator[BinaryIO]:
    """Open the media of one row, by the member name that `open_rows` gives it.

    Raises:
        DamagedMediaError: The file is damaged, or has no such row.
    """
    import pyarrow as pa

    try:
        yield io.BytesIO(_read_bytes(path, int(member.partition("/")[0]) - 1))
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        raise DamagedMediaError(f"{path}: row {member} cannot be read; write it again") from error


def list_rows(path: str) -> Iterator[tuple[str, int]]:
    """Yield the member names and the sizes in bytes of the media of a Parquet file.

    Raises:
        DamagedMediaError: The file is damaged.
    """
    import pyarrow as pa

    try:
        with _open(path) as file:
            for member, content, _ in _read_rows(file, with_columns=False):
                yield member, len(content or b"")
    except (OSError, pa.ArrowException) as error:
        raise DamagedMediaError(f"{path} cannot be read; write it again") from error


def _open(path: str) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    check_regular(path)
    return pq.ParquetFile(path, memory_map=True, pre_buffer=False)


def _read_bytes(path: str, index: int) -> bytes:
    """Return the media of one row, numbered from 0, reading only its row group."""
    with _open(path) as file:
        media = _media_column(file.schema_arrow)
        if media is None or index < 0:
            raise LookupError(index)
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if index >= rows:
                index -= rows
                continue
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[media]):
                if index < batch.num_rows:
                    content: bytes = batch.column(0)[index].as_py()["bytes"]
                    return content
                index -= batch.num_rows
    raise LookupError(index)


def _read_rows(
    file: pq.ParquetFile, *, with_columns: bool
) -> Iterator[tuple[str, bytes | None, dict[str, object]]]:
    """Yield member name, media and, if wanted, the columns without bytes of each row."""
    from retrieval.columns.arrow import python_values

    media = _media_column(file.schema_arrow)
    others = [
        field.name
        for field in file.schema_arrow
        if with_columns and field.name != media and not _contains_binary(field.type)
    ]
    number = 0
    for batch in file.iter_batches(_BATCH_ROWS, columns=[media, *others]):
        columns = [python_values(batch.column(name)) for name in others]
        for index, value in enumerate(batch.column(media)):
            number += 1
            struct = value.as_py() or {}
            name = struct.get("path")
            member = f"{number}/{os.path.basename(name)}" if name else str(number)
            row = {name: column[index] for name, column in zip(others, columns, strict=True)}
            yield member, struct.get("bytes"), row


def _media_column(schema: pa.Schema) -> str | None:
    return next((field.name for field in schema if _is_media(field.type)), None)


def _is_media(data_type: pa.DataType) -> bool:
    import pyarrow as pa

    from retrieval.columns.arrow import is_binary

    return (
        pa.types.is_struct(data_type)
        and {field.name for field in data_type} == {"bytes", "path"}
        and is_binary(data_type.field("bytes").type)
    )


def _contains_binary(data_type: pa.DataType) -> bool:
    from retrieval.columns.arrow import is_binary

    return is_binary(data_type) or any(
        _contains_binary(data_type.field(number).type) for number in range(data_type.num_fields)
    )
