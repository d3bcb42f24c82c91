"""Read the tags and transcripts of one item, in the process that decodes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import av

from retrieval.errors import MediaError
from retrieval.media.containers.reading import open_container
from retrieval.media.damage import Damage
from retrieval.media.files import OpenFile, TranscriptFile
from retrieval.media.tags.container_tags import read_container_tags
from retrieval.media.tags.image_tags import read_image_tags
from retrieval.media.tags.values import Tags
from retrieval.media.transcripts.formats import read_transcript
from retrieval.media.transcripts.sidecars import language_of
from retrieval.media.transcripts.tracks import read_tracks
from retrieval.types import Failure, Medium, Scalar, TextSource, TimedText

FILE_SOURCES = frozenset((TextSource.TAG, TextSource.TRANSCRIPT))
"""The sources that need the item's file or files beside it."""

MAX_TEXT_CHARACTERS = 20_000
"""A longer text is stored as several, cut at spaces."""

Cue = tuple[float, float, str]


@dataclass(slots=True)
class ItemTexts:
    """Texts and facts of one item.

    Attributes:
        texts: Tags, then transcripts.
        facts: Values of columns, by name.
        failures: Transcript files that cannot be used, or whose bad lines were left out.
        notes: Messages for the user.
    """

    texts: list[TimedText] = field(default_factory=list)
    facts: dict[str, Scalar] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_item_texts(media: OpenFile, modality: Medium, sources: frozenset[TextSource]) -> ItemTexts:
    """Read the tags and transcripts of an item; damage never raises.

    Args:
        media: The open file; its position changes.
        modality: Its modality.
        sources: What to read; other sources than `FILE_SOURCES` are ignored.
    """
    result = ItemTexts()
    tags, tracks, duration = Tags(), list[TimedText](), None
    if modality is Medium.IMAGE:
        if TextSource.TAG in sources:
            tags = read_image_tags(media.file)
    elif sources & FILE_SOURCES:
        with (
            suppress(MediaError, OSError),
            open_container(media.file, metadata_errors="surrogateescape") as container,
        ):
            if container.duration:
                duration = container.duration / av.time_base
            if TextSource.TAG in sources:
                with suppress(Exception):  # numbers of damaged files can have any size
                    tags = read_container_tags(container, is_video=modality is Medium.VIDEO)
            if TextSource.TRANSCRIPT in sources:
                tracks = read_tracks(container, Damage())
    result.texts += tags.timed_texts()
    result.facts = tags.facts
    if TextSource.TRANSCRIPT in sources:
        for file in media.transcripts:
            result.texts += _read_file(file, duration, result)
        result.texts += tracks
    result.texts = list(_split(dict.fromkeys(result.texts)))
    return result


def _read_file(file: TranscriptFile, duration: float | None, result: ItemTexts) -> list[TimedText]:
    """Return the cues of a transcript file; adds its failure, if any."""
    sidecar = file.sidecar
    try:
        with file.open() as stream:
            transcript = read_transcript(stream, sidecar.name, sidecar.bytes)
        reason = None if transcript is None else transcript.problem
    except Exception as error:  # hostile files can raise anything
        transcript, reason = None, " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, OSError) and error.strerror:
            reason = error.strerror
    if reason is not None:
        good = f"; its {len(transcript.cues):,} good cues are kept" if transcript else ""
        result.failures.append(
            Failure(file.uri, "open", f"{reason}{good}; correct the file", sidecar.bytes,
                    sidecar.mtime)
        )  # fmt: skip
    if transcript is None:
        return []
    language = transcript.language or language_of(sidecar.name)
    cues = list(_until(transcript.cues, duration))
    if len(cues) < len(transcript.cues):
        late = len(transcript.cues) - len(cues)
        result.notes.append(f"{sidecar.name}: {late:,} cues after the end left out")
    return [TimedText(TextSource.TRANSCRIPT, text, start, end, language)
            for start, end, text in cues]  # fmt: skip


def _until(cues: Iterable[Cue], duration: float | None) -> Iterator[Cue]:
    """Yield the cues that start before the end of the item, cut at its end."""
    for start, end, text in cues:
        if duration is None:
            yield start, end, text
        elif start < duration:
            yield start, min(end, duration), text


def _split(texts: Iterable[TimedText]) -> Iterator[TimedText]:
    for text in texts:
        if len(text.text) <= MAX_TEXT_CHARACTERS:
            yield text
            continue
        for part in split_text(text.text):
            yield TimedText(text.source, part, text.start_seconds, text.end_seconds, text.language)


def split_text(text: str) -> Iterator[str]:
    """Cut a text into parts of at most `MAX_TEXT_CHARACTERS`, at spaces where possible."""
    while len(text) > MAX_TEXT_CHARACTERS:
        space = text.rfind(" ", MAX_TEXT_CHARACTERS // 2, MAX_TEXT_CHARACTERS)
        end = space if space > 0 else MAX_TEXT_CHARACTERS
        yield text[:end].strip()
        text = text[end:].strip()
    if text:
        yield text
