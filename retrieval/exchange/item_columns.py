"""Converts whole columns that describe items, with the results of `ItemReader` for single rows.

Most values are simple: a regular expression finds them, and Arrow converts them. The others, such
as paths with `..` or captions that are lists, are converted one by one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retrieval.columns.arrow import python_values
from retrieval.media.captions import MAX_CAPTION_CHARACTERS, join_captions
from retrieval.media.names import extension, uri_to_path
from retrieval.store.schema import MEDIUM_CODES
from retrieval.types import Medium

_NAME = r"[\x01-\x24\x26-\x2d\x30-\x7f][\x01-\x24\x26-\x2e\x30-\x7f]*"
"""A name of a path that its uri repeats: ASCII without `%` that does not start with a dot."""

_PLAIN_PATH = rf"^/?{_NAME}(?:/{_NAME})*$"
_ADDRESS = r"(?i)^[a-z][a-z0-9+.-]*://[^\x00]*$"
_TEXT = r"^[^\x00]+$"
_PLAIN_CAPTION = r"^(?:[ -~](?:[^\x00-\x1f]*[ -~])?)?$"
"""A caption of one line that only spaces surround."""

_MAX_EXTENSIONS = 16
"""Uris of a group with further extensions are looked at one by one."""

_MEDIA = pa.array([str(medium) for medium in MEDIUM_CODES])
_CODES = {medium: code for code, medium in enumerate(MEDIUM_CODES)}


def text_column(column: pa.Array) -> pa.Array:
    """Return the texts of a column as strings, with null for every other value."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        with suppress(pa.ArrowException):
            column.validate(full=True)  # Parquet readers do not check UTF-8
            return column.cast(pa.string())
    elif not pa.types.is_nested(column.type):
        return pa.nulls(len(column), pa.string())
    texts = (value if isinstance(value, str) else None for value in python_values(column))
    return pa.array(texts, pa.string())


def plain_uris(column: pa.Array, base: str, *, exported: bool) -> pa.Array:
    """Convert a path column to uris, with null where a value must be converted by itself.

    Args:
        column: The values.
        base: The folder of relative paths, as a plain path.
        exported: Whether the values are uris already.
    """
    texts = text_column(column)
    unchanged = pc.match_substring_regex(texts, _TEXT if exported else _ADDRESS)
    if exported or pc.all(unchanged).as_py():
        return pc.if_else(unchanged, texts, None)
    is_plain = pc.match_substring_regex(texts, _PLAIN_PATH)
    is_absolute = pc.starts_with(texts, "/")
    if pc.all(is_absolute).as_py():
        return pc.if_else(pc.or_(unchanged, is_plain), texts, None)
    unchanged = pc.or_(unchanged, pc.and_(is_plain, is_absolute))
    is_base_plain = bool(pc.match_substring_regex(pa.scalar(base), _PLAIN_PATH).as_py())
    joined = pc.binary_join_element_wise(base, texts, "/")
    relative = pc.if_else(pc.and_(is_plain, is_base_plain), joined, None)
    return pc.if_else(unchanged, texts, relative)


def media_codes(column: pa.Array) -> NDArray[np.int8]:
    """Return the position in `MEDIUM_CODES` of the medium that each value names, or -1."""
    positions = pc.index_in(text_column(column), value_set=_MEDIA)
    codes: NDArray[np.int8] = positions.fill_null(-1).to_numpy().astype(np.int8)
    return codes


def modality_codes(
    uris: pa.Array, named: pa.Array | None, modality_of_name: Callable[[str], Medium]
) -> NDArray[np.int8]:
    """Return the modality of each item as a position in `MEDIUM_CODES`.

    Args:
        uris: The uris.
        named: The column that names modalities, if any.
        modality_of_name: Returns the modality of a uri that has no named one.
    """
    codes = np.full(len(uris), -1, np.int8) if named is None else media_codes(named)
    is_member = pc.match_substring(uris, "!").to_numpy(zero_copy_only=False)
    for _ in range(_MAX_EXTENSIONS):
        if (codes >= 0).all():
            return codes
        # Give the modality of the first uri to all uris that end like it.
        position = int((codes < 0).argmax())
        uri = uris[position].as_py()
        codes[position] = code = _CODES[modality_of_name(uri)]
        end = uri[len(uri) - len(extension(uri)) - 1 :]
        if not end.startswith(".") or len(end) < 2:
            continue
        same = pc.ends_with(uris, end).to_numpy(zero_copy_only=False)
        for hidden in ("/", "."):  # dots at the start of a name belong to it
            same &= ~pc.ends_with(uris, hidden + end).to_numpy(zero_copy_only=False)
        codes[same & ~is_member & (codes < 0)] = code
    for row in np.flatnonzero(codes < 0).tolist():
        codes[row] = _CODES[modality_of_name(uris[row].as_py())]
    return codes


def caption_column(column: pa.Array | None, count: int) -> pa.Array:
    """Convert the values of a caption column as `join_captions` converts each; null without one."""
    if column is None:
        return pa.nulls(count, pa.string())
    texts = text_column(column)
    stripped = pc.ascii_trim(texts, " ")
    is_plain = pc.and_(
        pc.match_substring_regex(texts, _PLAIN_CAPTION),
        pc.and_(
            pc.less_equal(pc.binary_length(stripped), MAX_CAPTION_CHARACTERS),
            pc.invert(pc.starts_with(stripped, "[")),
        ),
    ).fill_null(False)
    others = pc.and_(pc.invert(is_plain), column.is_valid()).to_numpy(zero_copy_only=False)
    values = python_values(column) if others.any() else []
    return with_values(
        pc.if_else(pc.equal(stripped, ""), None, stripped),
        others,
        lambda row: join_captions([values[row]]),
    )


def in_existing_folders(uris: pa.Array) -> NDArray[np.bool_]:
    """Return which uris may be those of files, (n,): a folder that exists here can contain them."""
    heads = pc.list_element(pc.split_pattern(uris, "/", max_splits=1, reverse=True), 0)
    paths = pc.if_else(
        pc.match_substring(uris, "/"), pc.binary_join_element_wise(heads, "", "/"), ""
    )
    folders = paths.dictionary_encode()
    exists = [
        os.path.isdir(uri_to_path(folder) or ".") for folder in folders.dictionary.to_pylist()
    ]
    found: NDArray[np.bool_] = np.array(exists, np.bool_)[folders.indices.to_numpy()]
    return found


def with_values(
    column: pa.Array, rows: NDArray[np.bool_], value_of: Callable[[int], str | None]
) -> pa.Array:
    """Replace the values of some rows, given by one bool per row, by those of a function."""
    positions = np.flatnonzero(rows).tolist()
    if not positions:
        return column
    values = pa.array(map(value_of, positions), pa.string())
    return pc.replace_with_mask(column, pa.array(rows), values)
