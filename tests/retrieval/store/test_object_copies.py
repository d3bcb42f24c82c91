from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from store_samples import content, grow

from retrieval.errors import (
    CollectionError,
    CollectionFormatError,
    CollectionNotFoundError,
    StorageError,
)
from retrieval.store.compact import compact
from retrieval.store.object_copies import ObjectCopy, open_copy
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from support.object_store import BUCKET, object_store

pytest.importorskip("s3fs")
pytest.importorskip("moto")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ADDRESS = f"{BUCKET}/library"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with object_store(monkeypatch) as system:
        yield system


def stored(system: Any) -> set[str]:
    system.invalidate_cache()
    return {name.removeprefix("bucket/library/") for name in system.find("bucket/library")}


def listed(root: Path) -> set[str]:
    manifest = Snapshot.open(root).manifest
    files = {file.path for file in manifest.files}
    return files | {"CURRENT", f"manifests/{manifest.generation:06d}.json"}


def test_a_collection_is_uploaded_and_downloaded(store: Any, tmp_path: Path) -> None:
    grow(tmp_path / "a", 6, publish_every=3)
    copy = ObjectCopy(ADDRESS, tmp_path / "a")
    assert not copy.download()
    assert copy.upload() == len(Snapshot.open(tmp_path / "a").manifest.files)
    assert stored(store) == listed(tmp_path / "a")
    other = open_copy(ADDRESS, tmp_path / "copies", create=False)
    assert content(other.root) == content(tmp_path / "a")
    assert verify(other.root) == []
    assert other.upload() == 0
    # A further generation copies its new files only, and deletes those that it replaces.
    grow(other.root, 9, publish_every=9)
    compact(other.root)
    assert other.upload() > 0
    assert stored(store) == listed(other.root)
    again = open_copy(ADDRESS, tmp_path / "more", create=False)
    assert content(again.root) == content(other.root)


def test_current_is_written_last(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(tmp_path / "a", 3, publish_every=3)
    copy = ObjectCopy(ADDRESS, tmp_path / "a")
    copy.download()
    put = copy._put

    def fail(name: str) -> None:
        if name.startswith("manifests/"):
            raise StorageError("the connection is lost")
        put(name)

    monkeypatch.setattr(copy, "_put", fail)
    with pytest.raises(StorageError, match="the connection is lost"):
        copy.upload()
    assert "CURRENT" not in stored(store)
    with pytest.raises(CollectionNotFoundError, match="is not a collection: it has no object"):
        open_copy(ADDRESS, tmp_path / "copies", create=False)
    monkeypatch.undo()


def test_an_interrupted_upload_is_repeated(store: Any, tmp_path: Path) -> None:
    grow(tmp_path / "a", 3, publish_every=3)
    store.pipe_file("bucket/library/items/00000.parquet", b"a part")
    copy = ObjectCopy(ADDRESS, tmp_path / "a")
    copy.download()
    copy.upload()
    other = open_copy(ADDRESS, tmp_path / "copies", create=False)
    assert content(other.root) == content(tmp_path / "a")


def test_changes_of_another_writer_are_not_overwritten(store: Any, tmp_path: Path) -> None:
    grow(tmp_path / "a", 3, publish_every=3)
    first = ObjectCopy(ADDRESS, tmp_path / "a")
    first.download()
    first.upload()
    second = open_copy(ADDRESS, tmp_path / "copies", create=False)
    for copy in (first, second):
        with CollectionWriter.open(copy.root) as writer:
            writer.remove([0 if copy is first else 1])
    first.upload()
    with pytest.raises(CollectionError, match="has changed since it was downloaded; run the"):
        second.upload()
    third = open_copy(ADDRESS, tmp_path / "copies", create=False)
    assert Snapshot.open(third.root).item_ids().tolist() == [1, 2]


def test_a_damaged_object_is_not_used(store: Any, tmp_path: Path) -> None:
    grow(tmp_path / "a", 3, publish_every=3)
    copy = ObjectCopy(ADDRESS, tmp_path / "a")
    copy.download()
    copy.upload()
    name = Snapshot.open(tmp_path / "a").manifest.files_in("items")[0].path
    blob = bytearray((tmp_path / "a" / name).read_bytes())
    blob[40] ^= 1
    store.pipe_file(f"bucket/library/{name}", bytes(blob))
    with pytest.raises(CollectionFormatError, match=rf"{ADDRESS}/{name} differs from its digest"):
        open_copy(ADDRESS, tmp_path / "copies", create=False)
    (root,) = (tmp_path / "copies").iterdir()
    assert not (root / "CURRENT").exists()
