"""Media inside Parquet, as Hugging Face stores data sets: one file's bytes in each row.

A column of `struct{bytes, path}` holds them, whatever its name. The other columns describe the
item, as in a list.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from retrieval.columns.types import portable
from retrieval.errors import DamagedMediaError
from retrieval.files.reading import check_regular
from retrieval.media.captions import joined_captions
from retrieval.media.files import OpenFile
from retrieval.media.lists.rows import CAPTION_COLUMNS
from retrieval.media.names import quote
from retrieval.types import Failure, Source

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BATCH_ROWS = 16
"""Rows read at a time: each holds a whole file."""


def holds_media(path: str) -> bool:
    """Whether a Parquet file has a column of media; False for one that cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _media_column(pq.read_schema(path)) is not None
    except (OSError, pa.ArrowException):
        return False


def open_rows(source: Source) -> Iterator[OpenFile | Failure]:
    """Yield the media of a Parquet file, row by row, and a failure for each row without any."""
    import pyarrow as pa

    stat = os.stat(source.path)
    try:
        with _open(source.path) as file:
            media = _media_column(file.schema_arrow)
            names = [
                field.name
                for field in file.schema_arrow
                if field.name == media or not _holds_bytes(field.type)
            ]
            number = 0
            for batch in file.iter_batches(_BATCH_ROWS, columns=names):
                for name, content, row in _rows(batch, media):
                    number += 1
                    member = f"{number}/{os.path.basename(name)}" if name else str(number)
                    uri = f"{source.uri}!{quote(member)}"
                    if not content:
                        reason = "the row holds no bytes; store the files themselves in the column"
                        yield Failure(uri, "open", reason, 0, stat.st_mtime)
                        continue
                    yield _opened(source, uri, member, content, stat.st_mtime, row)
    except (OSError, pa.ArrowException) as error:
        reason = f"the Parquet file cannot be read ({str(error).splitlines()[0]}); write it again"
        yield Failure(source.uri, "open", reason, stat.st_size, stat.st_mtime)


@contextmanager
def open_row(path: str, member: str) -> Iterator[BinaryIO]:
    """Open the media of one row, by the name that `open_rows` gave it.

    Raises:
        DamagedMediaError: The file is damaged, or has no such row.
    """
    import pyarrow as pa

    try:
        yield io.BytesIO(_bytes_of(path, int(member.partition("/")[0]) - 1))
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        raise DamagedMediaError(f"{path}: row {member} cannot be read; write it again") from error


def _bytes_of(path: str, place: int) -> bytes:
    with _open(path) as file:
        media = _media_column(file.schema_arrow)
        if media is None or place < 0:
            raise LookupError(place)
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if place >= rows:
                place -= rows
                continue
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[media]):
                if place < batch.num_rows:
                    content: bytes = batch.column(0)[place].as_py()["bytes"]
                    return content
                place -= batch.num_rows
    raise LookupError(place)


def _open(path: str) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    check_regular(path)
    return pq.ParquetFile(path, memory_map=True, pre_buffer=False)


def _opened(
    source: Source, uri: str, member: str, content: bytes, mtime: float, row: dict[str, object]
) -> OpenFile:
    captions = [row.pop(name) for name in CAPTION_COLUMNS if name in row][:1]
    columns = {name: portable(value) for name, value in row.items()}
    return OpenFile(
        uri,
        member,
        io.BytesIO(content),
        len(content),
        mtime,
        joined_captions(captions) or source.caption,
        {**source.columns, **columns},
    )


def _rows(
    batch: pa.RecordBatch, media: str | None
) -> Iterator[tuple[str | None, bytes | None, dict[str, object]]]:
    """The name, the bytes and the other columns of each row."""
    from retrieval.columns.arrow import python_values

    others = [name for name in batch.schema.names if name != media]
    columns = [python_values(batch.column(name)) for name in others]
    for place, value in enumerate(batch.column(media)):
        held = value.as_py() or {}
        row = {name: column[place] for name, column in zip(others, columns, strict=True)}
        yield held.get("path"), held.get("bytes"), row


def _media_column(schema: pa.Schema) -> str | None:
    return next((field.name for field in schema if _is_media(field.type)), None)


def _is_media(kind: pa.DataType) -> bool:
    import pyarrow as pa

    from retrieval.columns.arrow import is_binary

    return (
        pa.types.is_struct(kind)
        and {field.name for field in kind} == {"bytes", "path"}
        and is_binary(kind.field("bytes").type)
    )


def _holds_bytes(kind: pa.DataType) -> bool:
    from retrieval.columns.arrow import is_binary

    return is_binary(kind) or any(
        _holds_bytes(kind.field(number).type) for number in range(kind.num_fields)
    )


def list_rows(path: str) -> Iterator[tuple[str, int]]:
    """Names and sizes in bytes of the media of a Parquet file.

    Raises:
        DamagedMediaError: The file is damaged.
    """
    import pyarrow as pa

    try:
        with _open(path) as file:
            media = _media_column(file.schema_arrow)
            number = 0
            for batch in file.iter_batches(_BATCH_ROWS, columns=[media]):
                for name, content, _ in _rows(batch, media):
                    number += 1
                    member = f"{number}/{os.path.basename(name)}" if name else str(number)
                    yield member, len(content or b"")
    except (OSError, pa.ArrowException) as error:
        raise DamagedMediaError(f"{path} cannot be read; write it again") from error
