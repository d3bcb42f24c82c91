"""Everything about the items of a collection by uri, without ids, to compare collections."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from retrieval.store.reader import Snapshot


def rows_by_uri(root: Path) -> dict[str, tuple[object, ...]]:
    """Columns with a value, texts, sidecars, segments and frames of each item, in order of ids."""
    snapshot = Snapshot.open(root)
    sidecars = snapshot.sidecars()
    found: dict[str, tuple[object, ...]] = {}
    for batch in snapshot.iter_items():
        for row in batch.to_pylist():
            item_id = row.pop("item_id")
            texts = [
                {name: value for name, value in text.items() if name != "item_id"}
                for each in snapshot.texts(np.array([item_id]))
                for text in each.to_pylist()
            ]
            columns = {name: value for name, value in row.items() if value is not None}
            spaces = {space.name: _rows(snapshot, space.name, item_id) for space in snapshot.spaces}
            assert row["uri"] not in found
            found[row["uri"]] = (columns, texts, sidecars.get(item_id), spaces)
    return found


def _rows(snapshot: Snapshot, space: str, item_id: int) -> tuple[object, ...]:
    segments = snapshot.item_segments(space, item_id)
    frames = snapshot.item_frames(space, item_id)
    return (
        [str(medium) for medium in segments.media],
        np.nan_to_num(segments.start_seconds, nan=-1).tolist(),
        np.nan_to_num(segments.end_seconds, nan=-1).tolist(),
        segments.vectors.tobytes(),
        None if frames is None else (frames.seconds.tobytes(), frames.vectors.tobytes()),
    )
