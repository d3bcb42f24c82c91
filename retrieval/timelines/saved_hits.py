"""Read hits that `search --format json` has printed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from retrieval.errors import QueryError, short_repr
from retrieval.files.reading import read_text
from retrieval.timelines.moments import QueryHits
from retrieval.types import Hit, Medium

MAX_RANK = 10**9


def read_hits(path: str) -> list[QueryHits]:
    """Read a JSON file with the result of one query, or JSON Lines with one result per query.

    Raises:
        QueryError: The file cannot be read, or a result is malformed. The message names the file,
            the result and the hit.
    """
    try:
        text = read_text(path, "utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise QueryError(f"{path}: hits cannot be read ({reason})") from error
    return parse_hits(text, path)


def parse_hits(text: str, name: str) -> list[QueryHits]:
    """Parse results; `name` is what messages call the text.

    Raises:
        QueryError: A result is malformed.
    """
    results = []
    for number, value in enumerate(_values(text, name), 1):
        values = value if isinstance(value, list) else [value]
        results += [_result(each, f"{name}, result {number}") for each in values]
    if not results:
        raise QueryError(f'{name}: no results; expected {{"query": "…", "hits": […]}} of `search`')
    return results


def _values(text: str, name: str) -> Iterator[Any]:
    """Yield the JSON values of a text, which may be separated by spaces or lines."""
    decoder = json.JSONDecoder()
    position = 0
    while True:
        while position < len(text) and text[position].isspace():
            position += 1
        if position == len(text):
            return
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise QueryError(f"{name}, line {error.lineno}: not JSON ({error.msg})") from error
        except RecursionError as error:
            raise QueryError(f"{name}: nested too deeply to be hits") from error
        yield value


def _result(value: object, place: str) -> QueryHits:
    if not isinstance(value, dict) or not isinstance(value.get("hits"), list):
        raise QueryError(f'{place}: expected {{"query": "…", "hits": […]}}')
    query = value.get("query", "")
    if not isinstance(query, str):
        raise QueryError(f"{place}: the query must be a string, got {short_repr(query)}")
    hits = tuple(
        _hit(hit, number, f"{place}, hit {number}") for number, hit in enumerate(value["hits"], 1)
    )
    return QueryHits(query, hits)


def _hit(value: object, number: int, place: str) -> Hit:
    if not isinstance(value, dict) or not isinstance(value.get("uri"), str) or not value["uri"]:
        raise QueryError(f"{place}: expected an object with a uri")
    if "\0" in value["uri"]:
        raise QueryError(f"{place}: the uri contains NUL")
    rank = value.get("rank", number)
    if not isinstance(rank, int) or not 0 < rank <= MAX_RANK:
        raise QueryError(f"{place}: the rank must be 1 or more, got {short_repr(rank)}")
    modality = _medium(value.get("modality"), place)
    start, end = (_seconds(value.get(f"{name}_seconds"), place) for name in ("start", "end"))
    if (start is None) != (end is None) or (
        start is not None and end is not None and not start < end
    ):
        raise QueryError(f"{place}: expected start_seconds < end_seconds, got {start} and {end}")
    score, item_id, metadata = value.get("score"), value.get("item_id", 0), value.get("metadata")
    collection = value.get("collection")
    return Hit(
        rank=rank,
        score=_number(score, place),
        item_id=item_id if isinstance(item_id, int) else 0,
        uri=value["uri"],
        modality=modality,
        medium=_medium(value.get("medium", modality), place),
        start_seconds=start,
        end_seconds=end,
        space=value.get("space"),
        likely=value.get("likely") is not False,
        metadata=metadata if isinstance(metadata, dict) else {},
        missing=value.get("missing") is True,
        collection=collection if isinstance(collection, str) else None,
    )


def _medium(value: object, place: str) -> Medium:
    if not isinstance(value, str) or value not in list(Medium):
        known = ", ".join(Medium)
        raise QueryError(f"{place}: the modality must be one of {known}, got {short_repr(value)}")
    return Medium(value)


def _seconds(value: object, place: str) -> float | None:
    seconds = _number(value, place)
    if seconds is not None and seconds < 0:
        raise QueryError(f"{place}: times must be 0 or more, got {short_repr(value)}")
    return seconds


def _number(value: object, place: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise QueryError(f"{place}: expected a finite number, got {short_repr(value)}")
    return float(value)
