"""Read captions stored next to media files, in `NAME.txt` or in the folder's `captions.jsonl`."""

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
from retrieval.media.lists.encodings import decode_text
from retrieval.types import TextSource, TimedText

MAX_CAPTION_CHARACTERS = 10_000
"""Longer captions are cut; text encoders read less."""

CAPTIONS_FILE = "captions.jsonl"


def clean_caption(text: str) -> str | None:
    """Strip and shorten a caption; None if it is empty."""
    return clean_text(text.strip()[:MAX_CAPTION_CHARACTERS]) or None


def join_captions(captions: Iterable[object]) -> str | None:
    """Join several captions, one a line and without repetitions; None if there are none.

    Lists, and texts of lists such as `["a dog", "a lawn"]`, count as several captions.
    """
    texts: dict[str, None] = {}
    for caption in captions:
        parts = _split_caption(caption)
        texts |= dict.fromkeys(filter(None, (clean_caption(str(part)) for part in parts)))
    return clean_caption("\n".join(texts))


def _split_caption(caption: object) -> list[object]:
    if isinstance(caption, str) and caption.strip().startswith("["):
        for parse in (json.loads, ast.literal_eval):
            try:
                value = parse(caption.strip())
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            if isinstance(value, list) and all(isinstance(part, str) for part in value):
                return value
    if isinstance(caption, list):
        return [part for part in caption if part is not None]
    return [] if caption is None else [caption]


def caption_texts(caption: str | None) -> list[TimedText]:
    """Return the captions of an item, which has one a line, as texts."""
    lines = (line.strip() for line in (caption or "").split("\n"))
    return [TimedText(TextSource.CAPTION, line) for line in dict.fromkeys(lines) if line]


def find_caption(path: str) -> str | None:
    """Return the caption of a media file, from its `.txt` or else from its folder's file.

    It is empty if the file has an empty one, and None if it has none.

    Raises:
        SourceError: A line of captions.jsonl is not {"file": …, "caption": …}.
    """
    text_file = os.path.splitext(path)[0] + ".txt"
    if text_file != path:
        try:
            with open_regular(text_file) as file:
                return clean_caption(decode_text(file.read(4 * MAX_CAPTION_CHARACTERS))) or ""
        except OSError:
            pass  # most media files have no text file
    folder, name = os.path.split(path)
    captions = os.path.join(folder, CAPTIONS_FILE)
    try:
        status = os.stat(captions)
        return _read_captions(captions, status.st_size, status.st_mtime_ns).get(name)
    except OSError:
        return None


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
                captions[name] = join_captions([captions.get(name), record["caption"]]) or ""
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise SourceError(
                    f"{path}, line {number}: not an object with file and caption; correct the line"
                ) from error
    return captions
