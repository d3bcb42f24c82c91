"""Texts of items: written with them, replaced without them, removed and compacted."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from store_samples import PICTURES, content, grow, item, texts

from retrieval.store import shards, text_rows
from retrieval.store.compact import compact
from retrieval.store.reader import Snapshot
from retrieval.store.schema import TEXTS
from retrieval.store.text_rows import ALL_SOURCES, TextUpdate, text_batches
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.types import MediaInfo, Sidecar, TextSource, TimedText

NAME, CAPTION, TRANSCRIPT = TextSource.NAME, TextSource.CAPTION, TextSource.TRANSCRIPT


def stored(root: Path, item_ids: Sequence[int] | None = None) -> dict[int, list[TimedText]]:
    rows: dict[int, list[TimedText]] = {}
    ids = None if item_ids is None else np.array(item_ids, np.int64)
    for batch in Snapshot.open(root).texts(ids):
        for row in batch.to_pylist():
            item_id, source = row.pop("item_id"), TextSource(row.pop("source"))
            rows.setdefault(item_id, []).append(TimedText(source=source, **row))
    return rows


def update(root: Path, updates: dict[int, TextUpdate]) -> None:
    with CollectionWriter.open(root) as writer:
        for item_id, new in updates.items():
            writer.update_texts(item_id, new)


def captions(*words: str) -> TextUpdate:
    return TextUpdate(tuple(TimedText(CAPTION, word) for word in words), frozenset({CAPTION}))


def ranges(root: Path, folder: str = "texts") -> list[tuple[int | None, int | None]]:
    files = Snapshot.open(root).manifest.files_in(folder)
    return [(file.first_item_id, file.last_item_id) for file in files]


def test_texts_are_stored_with_their_items(collection: Snapshot) -> None:
    assert stored(collection.root) == {number: list(texts(number)) for number in range(12)}
    assert stored(collection.root, [2, 9, 40]) == {2: list(texts(2)), 9: list(texts(9))}
    assert collection.text_counts() == {"name": 12, "transcript": 8}
    assert collection.sidecars()[5] == (Sidecar("0005.srt", 90, 1.6e9),)
    assert sorted(collection.sidecars()) == [2, 5, 8, 11]


def test_removed_and_replaced_items_have_no_texts(collection: Snapshot) -> None:
    with CollectionWriter.open(collection.root) as writer:
        writer.remove([2, 3])
    assert 2 not in stored(collection.root)
    assert stored(collection.root, [2, 3, 5]) == {5: list(texts(5))}
    assert Snapshot.open(collection.root).text_counts() == {"name": 10, "transcript": 6}
    before = content(collection.root)
    compact(collection.root)
    assert content(collection.root) == before
    (file,) = Snapshot.open(collection.root).manifest.files_in("texts")
    assert (file.rows, sorted(Snapshot.open(collection.root).sidecars())) == (16, [5, 8, 11])


def test_an_update_replaces_the_texts_of_its_sources_only(collection: Snapshot) -> None:
    root = collection.root
    expected = stored(root)
    cue = TimedText(TRANSCRIPT, "new", 4.25, 4.5, "fr")
    update(root, {
        5: TextUpdate((cue,), frozenset({TRANSCRIPT}), (Sidecar("a.srt", 1, 2.0),)),
        6: captions("one", "two"),
        7: TextUpdate((), ALL_SOURCES),
    })  # fmt: skip
    expected[5] = [next(texts(5)), cue]
    expected[6] += [TimedText(CAPTION, "one"), TimedText(CAPTION, "two")]
    del expected[7]
    assert stored(root) == expected
    now = Snapshot.open(root)
    assert now.sidecars()[5] == (Sidecar("a.srt", 1, 2.0),)
    assert now.sidecars()[8] == collection.sidecars()[8]
    untouched = ("items/", "segments/", "frames/", "indexes/")
    assert [file for file in now.manifest.files if file.path.startswith(untouched)] == [
        file for file in collection.manifest.files if file.path.startswith(untouched)
    ]
    assert now.manifest.files_in("updated")
    assert verify(root) == []


def test_two_updates_of_one_item_are_combined(collection: Snapshot) -> None:
    with CollectionWriter.open(collection.root) as writer:
        writer.update_texts(0, captions("first"))
        writer.update_texts(0, TextUpdate((TimedText(NAME, "n"),), frozenset({NAME}), ()))
        writer.update_texts(0, captions("second", "third"))
    words = [text.text for text in stored(collection.root)[0]]
    assert words == ["n", "second", "third"]


def test_items_that_no_shard_covers_get_new_shards_in_order(root: Path) -> None:
    """As in a collection that was written before there were texts."""
    with CollectionWriter.open(root, create=True) as writer:
        for space in (PICTURES,):
            writer.add_space(space)
        for number in range(0, 30, 3):  # pictures; every second publication has texts
            new = item(number)
            has_texts = number % 6 == 0
            info = new.info if has_texts else _without_texts(new.info)
            rows = {PICTURES.name: new.segments[PICTURES.name]}
            writer.add(type(new)(info, rows))
            writer.publish()
    assert ranges(root) == [(0, 0), (2, 2), (4, 4), (6, 6), (8, 8)]
    update(root, {item_id: captions(f"c{item_id}") for item_id in (1, 2, 5, 9)})
    assert ranges(root) == [(n, n) for n in (0, 1, 2, 4, 5, 6, 8, 9)]
    update(root, {item_id: captions(f"d{item_id}") for item_id in range(10)})
    assert ranges(root) == [(n, n) for n in range(10)]
    assert [stored(root)[n][-1].text for n in range(10)] == [f"d{n}" for n in range(10)]
    before = content(root)
    compact(root)
    assert (ranges(root), content(root)) == ([(0, 9)], before)


def _without_texts(info: MediaInfo) -> MediaInfo:
    return replace(info, texts=(), sidecars=())


def test_updates_are_merged_across_row_groups_and_blocks(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP_ROWS", 3)
    grow(root, 18, publish_every=18)
    expected = stored(root)
    numbers = [0, 1, 4, 5, 8, 11, 16, 17]
    update(root, {number: captions(*"abcdefg"[: number % 5]) for number in numbers})
    for number in numbers:
        expected[number] += [TimedText(CAPTION, word) for word in "abcdefg"[: number % 5]]
    assert stored(root) == expected
    assert list(stored(root)) == sorted(expected)
    removed = {number: TextUpdate((), ALL_SOURCES, ()) for number in numbers[::2]}
    update(root, removed)
    assert stored(root) == {n: rows for n, rows in expected.items() if n not in removed}


def test_newer_texts_are_those_that_an_index_does_not_hold(collection: Snapshot) -> None:
    root = collection.root
    assert collection.newer_text_ids(3).tolist() == list(range(12))  # there is no index of texts
    with CollectionWriter.open(root) as writer, writer.text_index_folder() as folder:
        (folder / "card.json").write_bytes(b"{}")
    indexed = Snapshot.open(root)
    assert indexed.text_index_folders() == [root / "indexes/texts/000004"]
    assert indexed.newer_text_ids(4).tolist() == []
    assert indexed.index_folders(PICTURES.name) == [root / f"indexes/{PICTURES.name}/000003"]
    update(root, {3: captions("x"), 7: captions("y")})
    grow(root, 14, publish_every=14)
    with CollectionWriter.open(root) as writer:
        writer.remove([7])
    assert Snapshot.open(root).newer_text_ids(4).tolist() == [3, 12, 13]
    compact(root)  # keeps what the index does not know
    assert Snapshot.open(root).newer_text_ids(4).tolist() == [3, 12, 13]
    assert Snapshot.open(root).removed_ids().tolist() == [7]
    with CollectionWriter.open(root) as writer, writer.text_index_folder(kept_parts=1) as folder:
        (folder / "card.json").write_bytes(b"[]")
    parts = Snapshot.open(root)
    ids = [
        (file.first_item_id, file.last_item_id)
        for file in parts.manifest.files if file.path.startswith("indexes/texts/")
    ]  # fmt: skip
    assert ids == [(0, 11), (12, 13)]
    with CollectionWriter.open(root) as writer, writer.text_index_folder() as folder:
        (folder / "card.json").write_bytes(b"[]")
    (whole,) = Snapshot.open(root).text_index_folders()
    assert Snapshot.open(root).newer_text_ids(int(whole.name)).tolist() == []
    assert verify(root) == []


def test_a_failed_index_of_texts_leaves_the_older_one(collection: Snapshot) -> None:
    root = collection.root
    with CollectionWriter.open(root) as writer, writer.text_index_folder() as folder:
        (folder / "card.json").write_bytes(b"{}")
    before = Snapshot.open(root).manifest
    with CollectionWriter.open(root) as writer:
        building = writer.text_index_folder()
        (building.__enter__() / "card.json").write_bytes(b"[]")
        assert not building.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert Snapshot.open(root).manifest == before
    assert verify(root) == []


def test_long_texts_are_written_in_small_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 4_900_000)
    monkeypatch.setattr(text_rows, "BATCH_BYTES", 900_000)
    words = [f"{number} " + "long " * 200_000 for number in range(20)]
    sink = io.BytesIO()
    shards.write_rows(sink, TEXTS, text_batches("texts", [(0, captions(*words))]))
    file = pq.ParquetFile(sink)
    groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert groups == [5, 5, 5, 5]
    assert file.read().column("text").to_pylist() == words


def test_texts_that_unicode_lacks_are_replaced(collection: Snapshot) -> None:
    update(collection.root, {0: captions("a\ud800b")})
    assert stored(collection.root)[0][-1].text == "a?b"


def test_an_update_of_other_sources_or_unknown_items_fails(collection: Snapshot) -> None:
    with pytest.raises(ValueError, match=r"texts of .*caption"):
        TextUpdate((TimedText(CAPTION, "x"),), frozenset({NAME}))
    with (
        CollectionWriter.open(collection.root) as writer,
        pytest.raises(ValueError, match="no item 99 in"),
    ):
        writer.update_texts(99, captions("x"))
