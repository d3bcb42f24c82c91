"""A collection's files replaced by what is no file: every reader says so, and none waits."""

from pathlib import Path

import pytest
from store_samples import PICTURES, grow

from indexes.errors import RetrievalError
from retrieval.errors import CollectionDamagedError, CollectionError
from retrieval.store.compact import compact
from retrieval.store.lock import HOLDER_NAME
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from support.special_files import MAKERS, replace_by

HERE = [noun for noun in MAKERS if noun != "a device"]
"""A link to a device leads out of the collection, which has an error of its own."""


@pytest.mark.parametrize("noun", HERE)
@pytest.mark.parametrize("name", ["CURRENT", "manifests/000003.json"])
def test_field_08_current_and_manifest_are_files_or_damaged(
    collection: Snapshot, name: str, noun: str
) -> None:
    root = collection.root
    replace_by(root / name, noun)
    expected = f"{Path(name).name}.* is {noun}, expected a regular file"
    for reader in (Snapshot.open, CollectionWriter.open, compact):
        with pytest.raises(CollectionDamagedError, match=expected):
            reader(root)
    with pytest.raises(CollectionDamagedError, match=f"is {noun}"):
        Snapshot.open_generation(root, 3)
    (problem,) = verify(root)
    assert f"is {noun}" in problem


@pytest.mark.parametrize("noun", MAKERS)
def test_field_08_every_listed_file_is_a_file_or_damaged(collection: Snapshot, noun: str) -> None:
    root = collection.root
    for file in collection.manifest.files:
        content = (root / file.path).read_bytes()
        replace_by(root / file.path, noun)
        with pytest.raises(CollectionError, match=file.path):
            Snapshot.open(root)
        assert [file.path in problem for problem in verify(root)] == [True]
        path = root / file.path
        path.rmdir() if path.is_dir() else path.unlink()
        path.write_bytes(content)
    assert verify(root) == []


@pytest.mark.parametrize("noun", HERE)
def test_field_08_a_file_that_is_replaced_while_it_is_read_is_damaged(
    collection: Snapshot, noun: str
) -> None:
    """The sizes were compared when the collection was opened."""
    root = collection.root
    for file in (*collection.manifest.files_in("items"),
                 *collection.manifest.files_in(f"segments/{PICTURES.name}")):  # fmt: skip
        replace_by(root / file.path, noun)
    with pytest.raises(CollectionDamagedError, match=f"is {noun}"):
        list(collection.iter_items())
    with pytest.raises(CollectionDamagedError, match=f"is {noun}"):
        list(collection.iter_segments(PICTURES.name))


@pytest.mark.parametrize("noun", ["a FIFO", "a socket", "a device"])
def test_field_08_the_name_of_the_holder_of_a_lock_is_replaced(root: Path, noun: str) -> None:
    grow(root, 3, publish_every=3)
    replace_by(root / HOLDER_NAME, noun)
    grow(root, 4, publish_every=4)
    assert len(Snapshot.open(root).item_ids()) == 4


@pytest.mark.parametrize("name", [".CURRENT.tmp", "items/.00001.parquet.tmp"])
def test_field_08_leftovers_that_are_fifos_are_deleted(root: Path, name: str) -> None:
    grow(root, 3, publish_every=3)
    replace_by(root / name, "a FIFO")
    grow(root, 4, publish_every=4)
    assert verify(root) == []


def test_field_08_an_older_manifest_that_is_a_fifo_is_ignored(collection: Snapshot) -> None:
    replace_by(collection.root / "manifests/000002.json", "a FIFO")
    with pytest.raises(RetrievalError, match="no generation 2"):
        Snapshot.open_generation(collection.root, 2)
    compact(collection.root, grace_seconds=600)
    assert verify(collection.root) == []
