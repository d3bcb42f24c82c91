"""The files of a data set as a collection: embedded once, and found again by every further run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from retrieval.collection import Collection
from retrieval.embedding.options import EmbedOptions
from retrieval.encoders.catalogue import CATALOGUE, resolve
from retrieval.errors import SourceError, UnknownModelError
from retrieval.media.names import path_to_uri
from retrieval.progress import Progress
from retrieval.search.indexing.card import IndexCard
from retrieval.types import Medium, Space

TELL_SECONDS: Final = 10.0

Say = Callable[[str], None]


def encoders_of(suite: str, medium: Medium, models: Sequence[str]) -> tuple[str, ...]:
    """Specifications of the named models that read such files: the others are not even loaded.

    Raises:
        UnknownModelError: No such model, or none of them does.
    """
    encoders: list[str] = []
    for model in models:
        entry = CATALOGUE.get(model)
        if entry is None:
            encoders += resolve(model)
        else:
            encoders += [spec for spec, media in entry.encoders.items() if medium in media]
    if models and not encoders:
        raise UnknownModelError(
            f"{suite} holds {medium} files, which {', '.join(models)} does not embed; "
            "`retrieval models list` shows what does"
        )
    return tuple(encoders)


def embed_files(
    root: Path, files: Mapping[str, Path], medium: Medium, encoders: tuple[str, ...], say: Say
) -> tuple[Collection, list[IndexCard]]:
    """Bring a collection of files up to date, and its indexes, whose cards are given too.

    Raises:
        SourceError: It holds other items, which searches would find.
    """
    collection = Collection(root)
    if (root / "CURRENT").exists():
        others = collection.snapshot.known_files().keys() - set(uris_of(files).values())
        if others:
            raise SourceError(
                f"{root} holds {len(others)} items that are not asked here, as {min(others)}: "
                "of another --data or --scale; name another --folder"
            )
    options = EmbedOptions(models=encoders, sound_of_videos=medium is Medium.AUDIO)
    paths = [str(path) for path in files.values()]
    report = collection.add(*paths, options=options, progress=_telling(len(paths), say))
    say(f"{sum(report.added.values())} files embedded in {report.seconds:.0f} s")
    return collection, collection.index()


def spaces_of(collection: Collection, medium: Medium, encoders: Sequence[str]) -> list[Space]:
    """The spaces of some encoders, or of all where none is named, which hold such files.

    Raises:
        UnknownModelError: None does.
    """
    spaces = [
        space
        for space in collection.snapshot.spaces
        if medium in space.media and (not encoders or space.encoder in encoders)
    ]
    if not spaces:
        named = encoders or [space.encoder for space in collection.snapshot.spaces]
        raise UnknownModelError(
            f"{', '.join(named)} embeds no {medium} files; `retrieval models list` shows what does"
        )
    return spaces


def uris_of(files: Mapping[str, Path]) -> dict[str, str]:
    """What a collection calls the files."""
    return {key: path_to_uri(str(path)) for key, path in files.items()}


def told(total: int, what: str, say: Say) -> Callable[[int], None]:
    """Give a function that is told how many are done, and says so every few seconds."""
    last = monotonic()

    def tell(done: int) -> None:
        nonlocal last
        if monotonic() - last > TELL_SECONDS:
            last = monotonic()
            say(f"{done} of {total} {what}")

    return tell


def _telling(files: int, say: Say) -> Progress:
    tell = told(files, "files looked at", say)
    return lambda task, done, total, note="": tell(int(done))
