"""Selects the queries that an index is tuned and measured with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexes.candidates import EXACT_BELOW_ROWS
from retrieval.encoders.probe_texts import PROBE_TEXTS
from retrieval.search.calibration import QueryType
from retrieval.search.sampling import sample_positions
from retrieval.store.reader import Snapshot

if TYPE_CHECKING:
    from indexes.faiss import FaissIndex
    from indexes.tuning import QuerySample

TEXTS, MANY_TEXTS = 300, 1_000
"""Maximum number of text queries for few and for many rows. The standard error of a recall near
0.95 is about 0.009 and 0.005. A smaller error allows less effort above the target, which makes
searches of a million rows a fifth faster."""

CAPTIONED_ITEMS = 10_000
"""Number of items whose captions are read; many items have none."""


def tuning_texts(snapshot: Snapshot, rows: int) -> Sequence[str]:
    """Sample captions of the collection evenly, and add built-in texts if there are too few.

    An index tuned with its own vectors as queries has another recall for text queries
    (docs/indexing.md).

    Args:
        snapshot: The generation.
        rows: Number of rows of the index.
    """
    limit = TEXTS if rows < EXACT_BELOW_ROWS else MANY_TEXTS
    items = sum(file.rows for file in snapshot.manifest.files_in("items"))
    step = max(1, items // CAPTIONED_ITEMS)
    captions = []
    first = 0
    for batch in snapshot.iter_items():
        column = batch.column("caption").slice((-first) % step).to_pylist()[::step]
        captions += [caption for caption in column if caption and caption.strip()]
        first += batch.num_rows
    chosen = list(dict.fromkeys(_subsample(captions, limit)))
    return [*chosen, *PROBE_TEXTS[: max(0, TEXTS - len(chosen))]]


def _subsample(captions: Sequence[str], limit: int) -> list[str]:
    if len(captions) <= limit:
        return list(captions)
    positions: NDArray[np.int64] = np.linspace(0, len(captions) - 1, limit).astype(np.int64)
    return [captions[position] for position in positions]


def query_samples(index: FaissIndex, texts: NDArray[np.float32]) -> dict[str, QuerySample]:
    """Sample queries of both types, with their exact results.

    Rows of the index are the media queries, as many as there are texts.

    Args:
        index: The index to search exactly.
        texts: (texts, dim) vectors of text queries; none: media queries only.

    Returns:
        Samples by `QueryType`.
    """
    from indexes.tuning import QuerySample

    rows = sample_rows(np.arange(index.rows), len(texts) or TEXTS)
    media = QuerySample.measure(index, index.gather(rows), rows)
    if not len(texts):
        return {QueryType.MEDIA: media}
    return {QueryType.TEXT: QuerySample.measure(index, texts), QueryType.MEDIA: media}


def main_type(samples: Mapping[str, QuerySample]) -> QueryType:
    """Return the type of query that searches are measured with: texts, or media without texts."""
    return QueryType.TEXT if QueryType.TEXT in samples else QueryType.MEDIA


def sample_rows(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Draw rows at random, always the same ones; ascending."""
    return rows[sample_positions(len(rows), count)]
