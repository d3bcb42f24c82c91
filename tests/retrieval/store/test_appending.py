from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from store_samples import PICTURES, SOUND, content, grow, item, leftovers

from retrieval.errors import StorageError
from retrieval.store.appending import Addition, append_items
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.types import Failure
from support.flaky_system import FlakySystem, use_system


def addition(root: Path, *numbers: int) -> Addition:
    """All items of a new collection with the items of these numbers."""
    with CollectionWriter.open(root, create=True) as writer:
        for space in (PICTURES, SOUND):
            writer.add_space(space)
        for number in numbers:
            writer.add(item(number))
    snapshot = Snapshot.open(root)
    return Addition(snapshot, snapshot.item_ids())


def uris(root: Path) -> dict[str, int]:
    assert verify(root) == []
    return {uri: file.item_id for uri, file in Snapshot.open(root).known_files().items()}


def test_items_follow_those_of_a_collection_whose_index_stays(tmp_path: Path) -> None:
    grow(tmp_path / "whole", 10, publish_every=10)
    grow(tmp_path / "c", 6, publish_every=3, index=True)
    before = Snapshot.open(tmp_path / "c")
    parts = [addition(tmp_path / "a", 6, 7), addition(tmp_path / "b", 8, 9)]
    with CollectionWriter.open(tmp_path / "c") as writer:
        appended = append_items(writer, parts)
        assert [each.first_item_id for each in appended] == [6, 8]
        writer.add(item(10))  # the writer continues after them
    after = Snapshot.open(tmp_path / "c")
    assert after.manifest.generation == before.manifest.generation + 2
    assert after.index_folders(PICTURES.name) == before.index_folders(PICTURES.name)
    assert after.updated_ids(0).tolist() == []
    assert list(uris(tmp_path / "c").items()) == [(f"/media/{n:04d}", n) for n in range(11)]
    assert content(tmp_path / "c")[:10] == content(tmp_path / "whole")[:10]
    assert leftovers(tmp_path / "c") == []


def test_pending_changes_are_published_first_and_failures_and_removals_with_the_items(
    tmp_path: Path,
) -> None:
    grow(tmp_path / "c", 2, publish_every=2)
    with CollectionWriter.open(tmp_path / "c") as writer:
        writer.add_failure(Failure("/media/0004", "decode", "cut"))
        writer.add(item(2))
        failures = [Failure("/media/broken", "open", "gone")]
        append_items(writer, [addition(tmp_path / "a", 3, 4)], removed=[0, 0], failures=failures)
        assert writer.manifest.generation == 3
    assert uris(tmp_path / "c") == {f"/media/{n:04d}": n for n in range(1, 5)}
    # The appended item of its uri resolves the first failure.
    assert list(Snapshot.open(tmp_path / "c").failures()) == ["/media/broken"]


def test_some_items_of_a_collection_are_appended(tmp_path: Path) -> None:
    source = addition(tmp_path / "a", *range(6))
    chosen = Addition(source.snapshot, np.array([1, 4, 5]))
    with CollectionWriter.open(tmp_path / "c", create=True) as writer:
        append_items(writer, [chosen])
    assert list(uris(tmp_path / "c")) == ["/media/0001", "/media/0004", "/media/0005"]
    snapshot = Snapshot.open(tmp_path / "c")
    assert [snapshot.last_embedded_id(space.name) for space in (PICTURES, SOUND)] == [2, 2]
    assert snapshot.count_segments(SOUND.name) == 6  # of two recordings


def test_a_refused_write_changes_nothing_and_a_further_attempt_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(tmp_path / "c", 3, publish_every=3)
    before, parts = content(tmp_path / "c"), [addition(tmp_path / "a", 3, 4, 5)]
    with CollectionWriter.open(tmp_path / "c") as writer:
        for step in (1, 9, 30):
            with monkeypatch.context() as patch:
                use_system(FlakySystem(fail_at=step), patch.setattr)
                with pytest.raises(StorageError, match="cannot write"):
                    append_items(writer, parts)
            assert content(tmp_path / "c") == before
            assert leftovers(tmp_path / "c") == [".lock.holder"]
        append_items(writer, parts)
    assert len(uris(tmp_path / "c")) == 6
