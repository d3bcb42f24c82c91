"""The queries that an index is tuned and measured on: what people ask, as far as it is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexes.candidates import EXACT_BELOW_ROWS
from retrieval.encoders.probe_texts import PROBE_TEXTS
from retrieval.store.reader import Snapshot

TEXTS, MANY_TEXTS = 300, 1_000
"""Text queries at most, for few rows and for many. The standard error of a recall near 0.95 is then
about 0.009 and 0.005: the less it is, the less an index of many rows looks beyond its target, which
makes a million rows a fifth faster."""

LOOKED_AT = 10_000
"""Items, evenly chosen, whose captions are looked at: many have none."""


def tuning_texts(snapshot: Snapshot, rows: int) -> Sequence[str]:
    """Captions of the collection's own items, evenly chosen; built-in ones where it has too few.

    An index tuned with the corpus's own vectors as queries promises a recall that text queries do
    not get, in either direction (docs/indexing.md).

    Args:
        snapshot: Whose captions.
        rows: Rows of the index.
    """
    most = TEXTS if rows < EXACT_BELOW_ROWS else MANY_TEXTS
    items = sum(file.rows for file in snapshot.manifest.files_in("items"))
    step = max(1, items // LOOKED_AT)
    captions = []
    seen = 0
    for batch in snapshot.iter_items():
        column = batch.column("caption").slice((-seen) % step).to_pylist()[::step]
        captions += [caption for caption in column if caption and caption.strip()]
        seen += batch.num_rows
    chosen = list(dict.fromkeys(_evenly(captions, most)))
    return [*chosen, *PROBE_TEXTS[: max(0, TEXTS - len(chosen))]]


def _evenly(captions: Sequence[str], most: int) -> list[str]:
    if len(captions) <= most:
        return list(captions)
    places: NDArray[np.int64] = np.linspace(0, len(captions) - 1, most).astype(np.int64)
    return [captions[place] for place in places]
