"""Localizes moments in a single file without an existing collection."""

from __future__ import annotations

import tempfile
from pathlib import Path

from retrieval.collection import Collection
from retrieval.embedding.options import EmbedOptions
from retrieval.errors import DamagedMediaError, SourceError
from retrieval.search.searcher import SearchResult
from retrieval.targets import Target, TextMode


def localize_file(
    path: Path,
    query: str,
    *,
    model: str,
    k: int = 5,
    device: str = "auto",
    localizer: str = "auto",
    text: str | TextMode = TextMode.AUTO,
) -> SearchResult:
    """Embed one video or recording into a temporary collection and search its moments.

    The moments are the same as in a search over a collection with many files.

    Args:
        path: A video or a recording.
        query: Text, or any expression that `search` accepts.
        model: Catalogue name or specification.
        k: Number of moments.
        device: `auto`, `cpu` or `cuda`.
        localizer: `auto`, `similarity`, `hammer` or `hammer:FOLDER`.
        text: Whether words of the file's transcript count: `auto`, `off` or `only`.

    Raises:
        SourceError: The file does not exist.
        DamagedMediaError: The file cannot be decoded, or the model reads no such file.
    """
    if not path.is_file():
        raise SourceError(f"{path} is not a file; expected a video or a recording")
    with tempfile.TemporaryDirectory(prefix="retrieval-") as folder:
        collection = Collection(Path(folder) / "one", device=device, localizer=localizer)
        report = collection.add(
            path, options=EmbedOptions(models=(model,), device=device, workers=0)
        )
        for failure in report.failures:
            raise DamagedMediaError(f"{path}: {failure.reason}")
        if report.without_encoder:
            raise DamagedMediaError(f"{path}: no encoder of {model!r} reads such a file")
        collection.index()
        return collection.answer(query, to=[Target.MOMENT], k=k, text=text)
