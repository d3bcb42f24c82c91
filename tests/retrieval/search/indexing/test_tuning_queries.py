from pathlib import Path

import numpy as np
import pytest

import retrieval.search.indexing.tuning_queries as queries
from retrieval.encoders.probe_texts import PROBE_TEXTS
from retrieval.search.indexing.tuning_queries import sample_rows, tuning_texts
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, MediaInfo, Medium, Segments, Space

SPACE = Space("toy-00000001", "toy:pictures", 4, (Medium.IMAGE,), "1" * 64)


def collection(root: Path, captions: list[str | None]) -> Snapshot:
    vector = np.eye(1, 4, dtype=np.float32)
    nothing = np.full(1, np.nan, np.float32)
    with CollectionWriter.open(root, create=True) as writer:
        writer.add_space(SPACE)
        for number, caption in enumerate(captions):
            info = MediaInfo(
                f"/media/{number}", Medium.IMAGE, 1, 0.0, f"{number:064x}", caption=caption
            )
            rows = Segments([Medium.IMAGE], nothing, nothing, vector)
            writer.add(EmbeddedItem(info, {SPACE.name: rows}, {}))
    return Snapshot.open(root)


def test_without_captions_the_built_in_texts_are_used(tmp_path: Path) -> None:
    texts = tuning_texts(collection(tmp_path / "c", [None, "", "  "]), 3)
    assert texts == list(PROBE_TEXTS[: queries.TEXTS])


def test_captions_come_first_and_once(tmp_path: Path) -> None:
    texts = tuning_texts(collection(tmp_path / "c", ["a dog", None, "a cat", "a dog"]), 4)
    assert texts[:3] == ["a dog", "a cat", PROBE_TEXTS[0]]
    assert len(texts) == min(queries.TEXTS, 2 + len(PROBE_TEXTS))


def test_many_captions_are_subsampled_evenly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "TEXTS", 10)
    monkeypatch.setattr(queries, "MANY_TEXTS", 20)
    monkeypatch.setattr(queries, "CAPTIONED_ITEMS", 50)
    snapshot = collection(tmp_path / "c", [f"caption {n}" for n in range(1_000)])
    assert len(tuning_texts(snapshot, queries.EXACT_BELOW_ROWS)) == 20
    texts = tuning_texts(snapshot, 1_000)
    numbers = [int(text.split()[1]) for text in texts]
    assert len(numbers) == 10
    assert (numbers[0], numbers[-1]) == (0, 980)
    assert set(np.diff(numbers)) <= {100, 120}


def test_samples_are_ascending_distinct_and_repeatable() -> None:
    rows = np.arange(5, 1000, 3)
    sample = sample_rows(rows, 50)
    assert len(sample) == 50
    assert (np.diff(sample) > 0).all()
    assert np.isin(sample, rows).all()
    np.testing.assert_array_equal(sample, sample_rows(rows, 50))
    np.testing.assert_array_equal(sample_rows(rows[:9], 50), rows[:9])
