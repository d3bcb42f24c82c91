"""Everything about the items of a collection by uri, without ids, to compare collections."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.store.reader import Snapshot


def rows_by_uri(root: Path, *, with_vectors: bool = True) -> dict[str, tuple[object, ...]]:
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
            spaces = {
                space.name: rows
                for space in snapshot.spaces
                if (rows := _rows(snapshot, space.name, item_id, with_vectors))[0]
            }
            assert row["uri"] not in found
            found[row["uri"]] = (columns, texts, sidecars.get(item_id), spaces)
    return found


def vectors_by_uri(root: Path) -> dict[tuple[str, str], NDArray[np.float32]]:
    """The vectors of segments, then of frames, by uri and space."""
    snapshot = Snapshot.open(root)
    uris = {file.item_id: uri for uri, file in snapshot.known_files().items()}
    vectors = {}
    for item_id, uri in uris.items():
        for space in snapshot.spaces:
            segments = snapshot.item_segments(space.name, item_id).vectors
            frames = snapshot.item_frames(space.name, item_id)
            if len(segments):
                more = [] if frames is None else [frames.vectors]
                vectors[uri, space.name] = np.concatenate([segments, *more])
    return vectors


def _rows(snapshot: Snapshot, space: str, item_id: int, with_vectors: bool) -> tuple[object, ...]:
    segments = snapshot.item_segments(space, item_id)
    frames = snapshot.item_frames(space, item_id)
    return (
        [str(medium) for medium in segments.media],
        np.nan_to_num(segments.start_seconds, nan=-1).tolist(),
        np.nan_to_num(segments.end_seconds, nan=-1).tolist(),
        None if frames is None else frames.seconds.tolist(),
        segments.vectors.tobytes() if with_vectors else None,
        frames.vectors.tobytes() if with_vectors and frames is not None else None,
    )
