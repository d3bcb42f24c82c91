"""Captions that lie beside media files: `NAME.txt`, or `captions.jsonl` in the folder."""

from __future__ import annotations

import ast
import io
import json
import os
from collections.abc import Iterable
from functools import lru_cache

from retrieval.columns.types import clean_text
from retrieval.errors import SourceError
from retrieval.files.reading import open_regular

MAX_CAPTION_CHARACTERS = 10_000
"""Longer captions are cut; no text encoder reads as much."""

CAPTIONS_FILE = "captions.jsonl"


def clean_caption(text: str) -> str | None:
    """Strip and cut a caption; None where nothing is left."""
    return clean_text(text.strip()[:MAX_CAPTION_CHARACTERS]) or None


def joined_captions(captions: Iterable[object]) -> str | None:
    """One caption of several: each on a line of its own, repetitions once; None for none.

    A list among them, or the text of one as `["a dog", "a lawn"]`, is taken apart.
    """
    texts: dict[str, None] = {}
    for caption in captions:
        parts = _parts(caption)
        texts |= dict.fromkeys(filter(None, (clean_caption(str(part)) for part in parts)))
    return clean_caption("\n".join(texts))


def _parts(caption: object) -> list[object]:
    if isinstance(caption, str) and caption.strip().startswith("["):
        for parse in (json.loads, ast.literal_eval):
            try:
                read = parse(caption.strip())
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            if isinstance(read, list) and all(isinstance(part, str) for part in read):
                return read
    if isinstance(caption, list):
        return [part for part in caption if part is not None]
    return [] if caption is None else [caption]


def caption_beside(path: str) -> str | None:
    """Find the caption of a media file: from its `.txt`, else from its folder's captions.jsonl.

    Raises:
        SourceError: captions.jsonl has a line that is not {"file": …, "caption": …}.
    """
    text_file = os.path.splitext(path)[0] + ".txt"
    if text_file != path:
        try:
            with io.TextIOWrapper(open_regular(text_file), "utf-8", "replace") as file:
                return clean_caption(file.read(4 * MAX_CAPTION_CHARACTERS))
        except OSError:
            pass  # most media files have no text beside them
    folder, name = os.path.split(path)
    return _captions_of_folder(folder).get(name)


@lru_cache(maxsize=4)
def _read_captions(path: str, _size: int, _mtime_ns: int) -> dict[str, str | None]:
    captions: dict[str, str | None] = {}
    with io.TextIOWrapper(open_regular(path), "utf-8", "surrogateescape") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                name = os.path.normpath(record["file"])
                captions[name] = joined_captions([captions.get(name), record["caption"]])
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise SourceError(
                    f"{path}, line {number}: not an object with file and caption; mend the line"
                ) from error
    return captions


def _captions_of_folder(folder: str) -> dict[str, str | None]:
    path = os.path.join(folder, CAPTIONS_FILE)
    try:
        stat = os.stat(path)
        return _read_captions(path, stat.st_size, stat.st_mtime_ns)
    except OSError:
        return {}
