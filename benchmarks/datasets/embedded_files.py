"""Embeds the files of a data set into a collection, which later runs reuse."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.datasets.stored_texts import ItemTexts, store_texts
from retrieval.collection import Collection
from retrieval.embedding.options import EmbedOptions
from retrieval.encoders.catalogue import CATALOGUE, resolve
from retrieval.errors import SourceError, UnknownModelError
from retrieval.media.names import path_to_uri
from retrieval.progress import Progress, no_progress
from retrieval.search.indexing.card import IndexCard
from retrieval.types import Medium, Space

logger = logging.getLogger(__name__)


def encoders_of(suite: str, medium: Medium, models: Sequence[str]) -> tuple[str, ...]:
    """Select the encoders of the models that embed a medium, without loading any.

    Raises:
        UnknownModelError: A model does not exist, or none embeds the medium.
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
            f"name a model that embeds {medium}"
        )
    return tuple(encoders)


def embed_files(
    root: Path,
    files: Mapping[str, Path],
    medium: Medium,
    encoders: tuple[str, ...],
    progress: Progress = no_progress,
    *,
    texts: ItemTexts | None = None,
) -> tuple[Collection, list[IndexCard]]:
    """Embed files that a collection lacks, and update its indexes.

    Args:
        root: Folder of the collection.
        files: Files by item.
        medium: Medium of the files.
        encoders: Encoders to use; empty: those of the collection, or the default.
        progress: Receives the number of processed files.
        texts: The texts to store, by item. Items without an entry have none. None: the texts that
            the files have.

    Returns:
        The collection and the cards of its indexes.

    Raises:
        SourceError: The collection holds other items, which searches would return.
    """
    collection = Collection(root)
    if (root / "CURRENT").exists():
        others = collection.snapshot.known_files().keys() - set(uris_of(files).values())
        if others:
            raise SourceError(
                f"{root} holds {len(others)} items of another data set or scale, such as "
                f"{min(others)}; use another folder"
            )
    options = EmbedOptions(models=encoders, sound_of_videos=medium is Medium.AUDIO)
    if texts is not None:
        options = replace(options, texts=())
    paths = [str(path) for path in files.values()]
    report = collection.add(*paths, options=options, progress=progress)
    added = sum(report.added.values())
    logger.info("%d files embedded in %.0f s", added, report.seconds)
    if texts is not None:
        uris = uris_of(files)
        store_texts(root, {uris[item]: own for item, own in texts.items() if item in uris})
        collection.refresh()
    return collection, collection.index()


def spaces_of(collection: Collection, medium: Medium, encoders: Sequence[str]) -> list[Space]:
    """Select the spaces of some encoders, or of all if none is named, that hold a medium.

    Raises:
        UnknownModelError: No space holds the medium.
    """
    spaces = [
        space
        for space in collection.snapshot.spaces
        if medium in space.media and (not encoders or space.encoder in encoders)
    ]
    if not spaces:
        named = encoders or [space.encoder for space in collection.snapshot.spaces]
        raise UnknownModelError(
            f"{', '.join(named)} embeds no {medium} files; name a model that embeds {medium}"
        )
    return spaces


def uris_of(files: Mapping[str, Path]) -> dict[str, str]:
    """Return the URIs of files in a collection."""
    return {key: path_to_uri(str(path)) for key, path in files.items()}
