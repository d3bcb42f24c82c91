"""Read the metadata and chapters of recordings and videos."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import av.container

from retrieval.media.containers.reading import origin_seconds
from retrieval.media.tags.values import (
    Tags,
    add_camera,
    add_position,
    add_time,
    clean_tag,
    parse_position,
    parse_time,
    parse_year,
)
from retrieval.types import TextSource, TimedText

_SHORT = {
    "title": "title", "artist": "artist", "album_artist": "artist", "album": "album",
    "genre": "genre", "composer": None, "performer": "artist", "author": "artist", "show": None,
    "episode_id": None, "publisher": None, "keywords": None, "grouping": None,
    "com.apple.quicktime.title": "title", "com.apple.quicktime.artist": "artist",
    "com.apple.quicktime.author": "artist", "com.apple.quicktime.keywords": None,
}  # fmt: skip
"""Tags of a few words, and their columns."""

_LONG = (
    "comment", "description", "synopsis", "lyrics", "unsyncedlyrics", "summary",
    "com.apple.quicktime.description", "com.apple.quicktime.comment",
)  # fmt: skip

_TIMES = ("com.apple.quicktime.creationdate", "creation_time")
_YEARS = ("originaldate", "originalyear", "date", "year", "tdor", "tyer")
_POSITIONS = ("com.apple.quicktime.location.iso6709", "location")
_MAKES = ("com.apple.quicktime.make", "make", "com.android.manufacturer")
_MODELS = ("com.apple.quicktime.model", "model", "com.android.model")

MAX_CHAPTERS = 10_000


def read_container_tags(container: av.container.InputContainer, *, is_video: bool) -> Tags:
    """Return the tags and chapters of an open container.

    Args:
        container: Opened with `metadata_errors="surrogateescape"`.
        is_video: Whether the creation time is that of a recording by a camera.
    """
    values = _metadata(container)
    tags = Tags()
    for name, column in _SHORT.items():
        text = clean_tag(values.get(name))
        if text is not None:
            tags.words.append(text)
            if column is not None:
                tags.add_fact(column, text)
    tags.texts += [text for name in _LONG if (text := clean_tag(values.get(name)))]
    year = next(filter(None, (parse_year(values.get(name)) for name in _YEARS)), None)
    tags.add_fact("year", year)
    if is_video:
        for name in _TIMES:
            add_time(tags, parse_time(values.get(name)))
        for name in _POSITIONS:
            add_position(tags, parse_position(values.get(name)))
        add_camera(tags, _first(values, _MAKES), _first(values, _MODELS))
    with suppress(Exception):  # numbers of damaged files can have any size
        tags.chapters += _chapters(container)
    return tags


def _metadata(container: av.container.InputContainer) -> dict[str, str]:
    """Return the tags of the container, and in Ogg those of its streams, by lower-case name."""
    values: dict[str, str] = {}
    sources: list[Mapping[str, str]] = [container.metadata]
    sources += [stream.metadata for stream in (*container.streams.audio, *container.streams.video)]
    for number, source in enumerate(sources):
        for name, value in source.items():
            # The title of a stream, such as "Stereo", is not that of the item.
            if not number or container.format.name.startswith("ogg"):
                values.setdefault(name.casefold(), value)
    return values


def _first(values: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((values[name] for name in names if values.get(name)), None)


def _chapters(container: av.container.InputContainer) -> list[TimedText]:
    origin = origin_seconds(container)
    texts = []
    for chapter in container.chapters()[:MAX_CHAPTERS]:
        title = clean_tag(chapter["metadata"].get("title"))
        base = chapter["time_base"]
        if title is None or not base:
            continue
        start = max(0.0, float(chapter["start"] * base) - origin)
        end = float(chapter["end"] * base) - origin
        if start < end:
            texts.append(TimedText(TextSource.TAG, title, start, end))
    return sorted(texts, key=lambda text: text.start_seconds or 0.0)
