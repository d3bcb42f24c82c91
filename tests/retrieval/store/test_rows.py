"""Promises about rows: odd names, invalid vectors, changed files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_samples import PICTURES, SOUND, grow, item, segments

from indexes.errors import InvalidVectorError
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, Failure, Frames, Medium, Segments


def test_fault_27_strange_names_are_returned_unchanged(tmp_path: Path) -> None:
    names = ["with space", "new\nline", "quo\"te's", "🐎", "é" * 127, "-rf", "%FF", "a!b;c", "\\"]
    root = tmp_path / "-c 🐎\n'\""
    with CollectionWriter.open(root, create=True) as writer:
        for number, name in enumerate(names):
            new = item(number, **{name: name})
            info = replace(new.info, uri=name, caption=name)
            writer.add(EmbeddedItem(info, {}))
    snapshot = Snapshot.open(root)
    assert list(snapshot.known_files()) == names
    (batch,) = snapshot.iter_items()
    for number, name in enumerate(names):
        assert batch.column(name)[number].as_py() == name
        assert batch.column("caption")[number].as_py() == name
    assert verify(root) == []


def vectors_like(values: list[float]) -> Segments:
    return replace(segments(Medium.IMAGE, 1, 8, 0), vectors=np.array([values], np.float32))


@pytest.mark.parametrize(
    "values",
    [
        [float("nan")] + [0.0] * 7,
        [float("inf")] + [0.0] * 7,
        [0.0] * 8,
        [1.1] + [0.0] * 7,
        [70_000.0] * 8,  # infinite only as float16
    ],
)
def test_fault_28_vectors_that_are_not_of_unit_length_fail(root: Path, values: list[float]) -> None:
    grow(root, 3, publish_every=3)
    with CollectionWriter.open(root) as writer:
        bad = replace(item(3), segments={PICTURES.name: vectors_like(values)})
        with pytest.raises(InvalidVectorError, match=r"/media/0003: vector 0 in pictures"):
            writer.add(bad)
        frames = Frames(np.zeros(1, np.float32), vectors_like(values).vectors)
        bad = replace(item(5), frames={PICTURES.name: frames})
        with pytest.raises(InvalidVectorError, match=r"/media/0005: vector 0 in pictures"):
            writer.add(bad)
        writer.add_failure(Failure(bad.info.uri, "encode", "a vector of length nan"))
        writer.add(item(4))
    snapshot = Snapshot.open(root)
    assert len(snapshot.item_ids()) == 4
    assert list(snapshot.failures()) == ["/media/0005"]
    for block in snapshot.iter_segments(PICTURES.name):
        np.testing.assert_allclose(
            np.linalg.norm(block.vectors.astype(np.float32), axis=1), 1, atol=1e-3
        )


def test_fault_29_a_changed_file_replaces_its_rows(root: Path) -> None:
    grow(root, 3, publish_every=3)
    with CollectionWriter.open(root) as writer:
        assert writer.snapshot is not None
        known = writer.snapshot.known_files()["/media/0001"]
        changed = replace(item(4), replaces=known.item_id)
        writer.add(replace(changed, info=replace(changed.info, uri="/media/0001")))
    snapshot = Snapshot.open(root)
    assert snapshot.item_ids().tolist() == [0, 2, 3]
    assert snapshot.known_files()["/media/0001"].item_id == 3
    (block,) = snapshot.iter_segments(SOUND.name)
    assert set(block.item_ids.tolist()) == {3}
    grow(root, 3, publish_every=3)
    assert Snapshot.open(root).manifest == snapshot.manifest
