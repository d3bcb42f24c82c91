"""The newest items of a generation, in the form of hits without a score."""

from __future__ import annotations

from collections.abc import Sequence

from retrieval.media.sources.presence import is_missing
from retrieval.search.newest import NewestItems
from retrieval.search.options import SearchOptions
from retrieval.serving.generations import Generation


def newest_items(generation: Generation, options: SearchOptions) -> list[tuple[float, int]]:
    """Return times and ids of one page of the newest items."""
    items = generation.derive("newest", lambda: NewestItems(generation.snapshot, generation.items))
    return items.page(options)


def newest_hits(
    generation: Generation, item_ids: Sequence[int], first_rank: int
) -> list[dict[str, object]]:
    """Describe items as hits, with consecutive ranks."""
    rows = generation.items.rows(item_ids)
    return [
        {
            "rank": rank, "score": None, "item_id": item_id, "uri": uri, "modality": modality,
            "medium": modality, "start_seconds": None, "end_seconds": None, "space": None,
            "likely": True, "metadata": metadata, "missing": is_missing(uri),
            "matched": None, "text_score": None,
        }
        for rank, (item_id, (uri, modality, metadata)) in enumerate(
            zip(item_ids, rows, strict=True), first_rank
        )
    ]  # fmt: skip
