"""Moments of one file, for people who have no collection."""

from __future__ import annotations

import tempfile
from pathlib import Path

from retrieval.collection import Collection
from retrieval.embedding.options import EmbedOptions
from retrieval.errors import DamagedMediaError, SourceError
from retrieval.search.searcher import SearchResult
from retrieval.targets import Target


def localize_file(
    path: Path,
    query: str,
    *,
    model: str,
    k: int = 5,
    device: str = "auto",
    localizer: str = "auto",
) -> SearchResult:
    """Embed one video or recording aside, and search its moments.

    A collection of one item is made and thrown away: moments found here are the ones that a
    search over many files would show of this one.

    Args:
        path: A video or a recording.
        query: Text, or any expression that `search` takes.
        model: Catalogue name or specification.
        k: Moments to return.
        device: `auto`, `cpu` or `cuda`.
        localizer: `auto`, `similarity`, `hammer` or `hammer:FOLDER`.

    Raises:
        SourceError: There is no such file.
        DamagedMediaError: It cannot be decoded.
    """
    if not path.is_file():
        raise SourceError(f"{path} is not a file; name a video or a recording")
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
        return collection.answer(query, to=[Target.MOMENT], k=k)
