from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrieval.errors import CollectionFormatError, StorageError
from retrieval.store import shards
from retrieval.store.publish import Publication, make_folder
from retrieval.store.schema import ITEM_IDS


def ids(*values: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values, pa.int64())], schema=ITEM_IDS)


def test_file_numbers_continue_from_the_highest(tmp_path: Path) -> None:
    (tmp_path / "failures").mkdir()
    (tmp_path / "failures/00041.parquet").touch()
    (tmp_path / "failures/.00099.parquet.tmp").touch()
    with Publication(tmp_path) as publication:
        listed = publication.write_shard("failures", ITEM_IDS, [ids(3, 4), ids()], None)
        assert (listed.path, listed.rows) == ("failures/00042.parquet", 2)
        assert pq.read_table(tmp_path / listed.path).column("item_id").to_pylist() == [3, 4]
    assert not (tmp_path / listed.path).exists()  # it was never committed


def test_a_shard_without_rows_is_written(tmp_path: Path) -> None:
    publication = Publication(tmp_path)
    listed = publication.write_shard("segments/x", ITEM_IDS, [], (3, 5))
    assert (listed.rows, listed.first_item_id, listed.last_item_id) == (0, 3, 5)
    assert pq.read_table(tmp_path / listed.path).num_rows == 0


def test_row_groups_have_one_size_for_batches_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP_ROWS", 4)
    batches = [ids(0), ids(*range(1, 11)), ids(), ids(11, 12)]
    listed = Publication(tmp_path).write_shard("x", ITEM_IDS, batches, None)
    metadata = pq.read_metadata(tmp_path / listed.path)
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [4, 4, 4, 1]
    read = shards.read_rows(tmp_path / listed.path, ITEM_IDS)
    assert [i for batch in read for i in batch["item_id"].to_pylist()] == list(range(13))


def test_folder_through_a_link_out_fails(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "items").symlink_to(outside)
    with pytest.raises(CollectionFormatError, match="leads out of the collection"):
        make_folder(root, "items")
    with pytest.raises(CollectionFormatError, match="leads out of the collection"):
        Publication(root).write_shard("items", ITEM_IDS, [], None)
    assert os.listdir(outside) == []


def test_a_file_that_differs_from_what_was_written_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.store.publish.has_content", lambda *_: False)
    with pytest.raises(StorageError, match="differs from what was written"):
        Publication(tmp_path).write_shard("x", ITEM_IDS, [ids(1)], None)
    assert os.listdir(tmp_path / "x") == []
