"""Localizes moments in one or several files without an existing collection."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from retrieval.collection import Collection
from retrieval.embedding.options import EmbedOptions
from retrieval.errors import DamagedMediaError, SourceError
from retrieval.media.names import uri_to_path
from retrieval.search.searcher import SearchResult
from retrieval.targets import Target, TextMode


def localize_files(
    paths: Sequence[Path],
    query: str,
    *,
    model: str,
    k: int = 5,
    device: str = "auto",
    localizer: str = "auto",
    text: str | TextMode = TextMode.AUTO,
) -> SearchResult:
    """Embed videos and recordings into a temporary collection and search their moments.

    The moments are the same as in a search over a collection with many files.

    Args:
        paths: Videos and recordings.
        query: Text, or any expression that `search` accepts.
        model: Catalogue name or specification.
        k: Number of moments.
        device: `auto`, `cpu` or `cuda`.
        localizer: `auto`, `similarity`, `hammer` or `hammer:FOLDER`.
        text: Whether words of the file's transcript count: `auto`, `off` or `only`.

    Raises:
        SourceError: A file does not exist.
        DamagedMediaError: A file cannot be decoded, or the model reads no such file.
    """
    for path in paths:
        if not path.is_file():
            raise SourceError(f"{path} is not a file; expected a video or a recording")
    with tempfile.TemporaryDirectory(prefix="retrieval-") as folder:
        collection = Collection(Path(folder) / "one", device=device, localizer=localizer)
        report = collection.add(
            *paths, options=EmbedOptions(models=(model,), device=device, workers=0)
        )
        for failure in report.failures:
            raise DamagedMediaError(f"{_name(failure.uri, paths)}: {failure.reason}")
        if report.without_encoder:
            names = ", ".join(map(str, paths))
            raise DamagedMediaError(f"{names}: no encoder of {model!r} reads such a file")
        collection.index()
        return collection.answer(query, to=[Target.MOMENT], k=k, text=text)


def _name(uri: str, paths: Sequence[Path]) -> str:
    """Return the path of a file as it was given."""
    real = uri_to_path(uri)
    return next((str(path) for path in paths if os.path.realpath(path) == real), real)
