"""What lies in some sources: files by kind, and how long recordings and videos are.

Every file is looked at by name and size. How long sound and pictures run is asked of a sample of
each extension's files, and told of the others by their bytes.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import av

from retrieval.errors import RetrievalError
from retrieval.files.reading import open_regular
from retrieval.media.archives.members import list_members, open_member
from retrieval.media.containers.reading import audio_stream, open_container, possible_seconds
from retrieval.media.files import EXTENSIONS
from retrieval.media.images.signatures import is_image
from retrieval.media.modality import container_modality
from retrieval.media.names import extension, path_to_uri
from retrieval.media.video.animation import estimate_seconds, is_animation
from retrieval.types import Medium, Source

PROBED = 40
"""Files of each extension that are opened for their length."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One media file, on the disk or in a tar."""

    path: str
    member: str | None
    bytes: int


@dataclass(slots=True)
class MediumTotals:
    """Files of one modality: how many, their bytes, and for how many seconds they run."""

    items: float = 0.0
    bytes: int = 0
    seconds: float = 0.0
    with_sound_seconds: float = 0.0


@dataclass(slots=True)
class Survey:
    """What was found.

    Attributes:
        totals: By modality.
        probed: Files that were opened for their length.
        unreadable: How many of those cannot be opened; their share of all files is left out.
        samples: Files of each modality for a calibration, in random order.
    """

    totals: dict[Medium, MediumTotals]
    probed: int = 0
    unreadable: int = 0
    samples: dict[Medium, list[Candidate]] = field(default_factory=dict)


@dataclass(slots=True)
class _Kind:
    """The files of one extension: all counted, some kept at random (reservoir sampling)."""

    files: int = 0
    bytes: int = 0
    kept: list[Candidate] = field(default_factory=list)

    def add(self, candidate: Candidate, rng: random.Random) -> None:
        self.files += 1
        self.bytes += candidate.bytes
        if len(self.kept) < PROBED:
            self.kept.append(candidate)
        elif (place := rng.randrange(self.files)) < PROBED:
            self.kept[place] = candidate


@dataclass(frozen=True, slots=True)
class Length:
    """What a container says of itself."""

    modality: Medium
    seconds: float
    has_sound: bool


def survey(
    sources: Iterable[Source], progress: Callable[[int], None] = lambda files: None
) -> Survey:
    """Count the media files of some sources and guess how long they run.

    Args:
        sources: As `find_sources` gives them.
        progress: Told the number of files seen so far.
    """
    rng = random.Random(0)
    kinds: dict[str, _Kind] = {}
    for seen, candidate in enumerate(_candidates(sources), 1):
        name = extension(candidate.member or candidate.path)
        kinds.setdefault(name, _Kind()).add(candidate, rng)
        progress(seen)
    found = Survey({medium: MediumTotals() for medium in Medium})
    for name, kind in sorted(kinds.items()):
        rng.shuffle(kind.kept)
        if EXTENSIONS.get(name) == (Medium.IMAGE,):
            total = found.totals[Medium.IMAGE]
            total.items += kind.files
            total.bytes += kind.bytes
            found.samples.setdefault(Medium.IMAGE, []).extend(kind.kept)
        else:
            _add_timed(found, kind)
    return found


def _candidates(sources: Iterable[Source]) -> Iterator[Candidate]:
    for source in sources:
        try:
            if source.is_tar:
                yield from _members(source.path)
            else:
                yield Candidate(source.path, None, os.stat(source.path).st_size)
        except (OSError, RetrievalError):
            continue  # `embed` says what is wrong with it


def _members(path: str) -> Iterator[Candidate]:
    for name, size in list_members(path):
        if extension(name) in EXTENSIONS or path.lower().endswith(".parquet"):
            yield Candidate(path, name, size)


def _add_timed(found: Survey, kind: _Kind) -> None:
    """Open the files that were kept, and scale what they say to all of the extension's bytes."""
    lengths = [(candidate, _length(candidate)) for candidate in kind.kept]
    readable = [(candidate, length) for candidate, length in lengths if length is not None]
    found.probed += len(lengths)
    found.unreadable += len(lengths) - len(readable)
    by_bytes = kind.bytes / max(1, sum(candidate.bytes for candidate in kind.kept))
    by_files = kind.files / len(kind.kept)
    for candidate, length in readable:
        total = found.totals[length.modality]
        total.items += by_files
        total.bytes += round(by_bytes * candidate.bytes)
        total.seconds += by_bytes * length.seconds
        total.with_sound_seconds += by_bytes * length.seconds * length.has_sound
        found.samples.setdefault(length.modality, []).append(candidate)


def _length(candidate: Candidate) -> Length | None:
    """How long a recording or video runs, from its header; None where it cannot be opened."""
    try:
        if candidate.member is not None:
            with open_member(candidate.path, candidate.member) as file:
                return _length_of(file, candidate)
        with open_regular(candidate.path) as file:
            return _length_of(file, candidate)
    except Exception:  # whatever a damaged file makes a decoder raise; `embed` says what is wrong
        return None


def _length_of(file: BinaryIO, candidate: Candidate) -> Length | None:
    head = file.read(32)
    if is_animation(file, head):
        return Length(Medium.VIDEO, estimate_seconds(file), has_sound=False)
    if is_image(head):
        return Length(Medium.IMAGE, 0.0, has_sound=False)
    name = extension(candidate.member or candidate.path)
    with open_container(file) as container:
        # What a header declares is believed as far as the file's bytes allow it.
        seconds = min((container.duration or 0) / av.time_base, possible_seconds(candidate.bytes))
        sound = audio_stream(container) is not None
        named_audio = EXTENSIONS.get(name) == (Medium.AUDIO,)
        modality = container_modality(container, named_audio=named_audio)
    return None if modality is None else Length(modality, seconds, sound)


def source_of(candidate: Candidate) -> Source | None:
    """A file on the disk as a source to decode; None for a member of a tar."""
    if candidate.member is not None:
        return None
    return Source(uri=path_to_uri(candidate.path), path=candidate.path)
