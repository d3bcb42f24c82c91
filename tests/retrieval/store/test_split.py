from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from store_samples import PICTURES, content, grow, item, leftovers

from retrieval.errors import CollectionError, FilterError, QueryError, StorageError
from retrieval.store.merge import merge
from retrieval.store.reader import Snapshot
from retrieval.store.split import split
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.types import Failure


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """14 items in shards of four: by turns images, recordings of 3 windows, videos of 2 clips."""
    grow(tmp_path / "whole", 14, publish_every=4)
    return tmp_path / "whole"


def uris(root: Path) -> list[str]:
    assert verify(root) == []
    return [
        uri for batch in Snapshot.open(root).iter_items() for uri in batch.column("uri").to_pylist()
    ]


def test_parts_of_at_most_so_many_rows_merge_to_the_whole(whole: Path, tmp_path: Path) -> None:
    parts = split(whole, tmp_path / "parts", rows=7)
    assert [part.root.name for part in parts] == ["whole-00", "whole-01", "whole-02"]
    # Seven items at most, and seven windows: three for each of the recordings 7, 10 and 13.
    assert [part.items for part in parts] == [7, 6, 1]
    for part in parts:
        snapshot = Snapshot.open(part.root)
        assert max(snapshot.count_segments(space.name) for space in snapshot.spaces) <= 7
        assert leftovers(part.root) == []
    before = content(whole)
    merge([part.root for part in parts], tmp_path / "again")
    assert content(tmp_path / "again") == before == content(whole)
    table = pq.read_table(tmp_path / "parts/ids.parquet").to_pylist()
    assert [row["old_item_id"] for row in table] == list(range(14))
    assert [row["new_item_id"] for row in table] == [*range(7), *range(6), 0]
    assert [row["collection"] for row in table] == (
        ["whole-00"] * 7 + ["whole-01"] * 6 + ["whole-02"]
    )


def test_an_item_with_more_rows_stays_whole(whole: Path, tmp_path: Path) -> None:
    parts = split(whole, tmp_path / "parts", rows=1)
    assert len(parts) == 14
    snapshot = Snapshot.open(parts[2].root)
    frames, expected = snapshot.item_frames(PICTURES.name, 0), item(2).frames[PICTURES.name]
    assert frames is not None
    assert np.array_equal(frames.vectors, expected.vectors.astype(np.float16))
    assert uris(parts[2].root) == ["/media/0002"]


def test_each_condition_makes_a_part_and_the_others_one_more(whole: Path, tmp_path: Path) -> None:
    with CollectionWriter.open(whole) as writer:
        writer.remove([3])
        writer.add_failure(Failure("/media/0004", "ocr", "blank"))
        writer.add_failure(Failure("/media/nowhere", "open", "gone"))
    conditions = ["number < 5", "number < 10 AND modality = 'video'"]
    first, second, rest = split(whole, tmp_path / "parts", where=conditions)
    assert uris(first.root) == [f"/media/{n:04d}" for n in (0, 1, 2, 4)]
    assert uris(second.root) == ["/media/0005", "/media/0008"]
    assert uris(rest.root) == [f"/media/{n:04d}" for n in (6, 7, 9, 10, 11, 12, 13)]
    failures = [list(Snapshot.open(part.root).failures()) for part in (first, second, rest)]
    assert failures == [["/media/0004", "/media/nowhere"], [], []]
    texts = [row["text"] for b in Snapshot.open(second.root).texts() for row in b.to_pylist()]
    assert texts == ["name 5", "hello 5", "bye 5", "name 8", "hello 8", "bye 8"]
    assert [len(files) for files in Snapshot.open(second.root).sidecars().values()] == [1, 1]


def test_wrong_requests_are_one_error_each(whole: Path, tmp_path: Path) -> None:
    for rows, where in ((None, []), (3, ["number < 5"])):
        with pytest.raises(QueryError, match="either the rows of a part, or a condition"):
            split(whole, tmp_path / "parts", rows=rows, where=where)
    with pytest.raises(QueryError, match="rows is 0, expected 1 or more"):
        split(whole, tmp_path / "parts", rows=0)
    with pytest.raises(QueryError, match="no item is left that matches 'number < 2'"):
        split(whole, tmp_path / "parts", where=["number < 5", "number < 2"])
    with pytest.raises(FilterError):
        split(whole, tmp_path / "parts", where=["nothing = 1"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full/a").touch()
    with pytest.raises(CollectionError, match="holds 'a'; name a new or empty folder"):
        split(whole, tmp_path / "full", rows=3)
    with pytest.raises(StorageError, match="is a file, expected a folder"):
        split(whole, tmp_path / "full/a", rows=3)
    assert not (tmp_path / "parts").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
import retrieval.store.split as module
write = module.write_id_table
def kill(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)
module.write_id_table = kill
module.split(Path(sys.argv[1]), Path(sys.argv[2]), rows=6)
"""


def test_a_killed_split_leaves_no_folder_and_is_repeated(whole: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(whole), str(tmp_path / "parts")]
    assert subprocess.run(command, env=dict(os.environ), check=False).returncode == (
        -signal.SIGKILL
    )
    assert not (tmp_path / "parts").exists()
    assert (tmp_path / ".parts.split/whole-02/CURRENT").exists()
    parts = split(whole, tmp_path / "parts", rows=6)
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == [
        "ids.parquet", *(part.root.name for part in parts)
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts", "whole"]
