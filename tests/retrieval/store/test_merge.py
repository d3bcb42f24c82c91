from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from store_samples import PICTURES, SOUND, content, grow, item, leftovers, nothing

from retrieval.errors import (
    CollectionDamagedError,
    CollectionError,
    OutputExistsError,
    QueryError,
    SpaceMismatchError,
    StorageError,
)
from retrieval.store.merge import merge
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, Failure, Space
from support.flaky_system import FlakySystem, use_system


def make(root: Path, *items: EmbeddedItem, spaces: tuple[Space, ...] = (PICTURES, SOUND)) -> Path:
    """A collection of some items."""
    with CollectionWriter.open(root, create=True) as writer:
        for space in spaces:
            writer.add_space(space)
        for each in items:
            writer.add(each)
    return root


def changed(number: int, *, mtime: float, **columns: object) -> EmbeddedItem:
    """Another version of an item of `store_samples`, with other vectors."""
    other = item(number + 300, **columns)
    info = replace(other.info, uri=item(number).info.uri, mtime=mtime)
    return replace(other, info=info)


def rows(root: Path) -> dict[str, dict[str, object]]:
    found = {
        str(row["uri"]): row
        for batch in Snapshot.open(root).iter_items()
        for row in batch.to_pylist()
    }
    assert verify(root) == []
    return found


def id_table(root: Path) -> list[tuple[object, ...]]:
    table = pq.read_table(root.with_name(f"{root.name}-ids.parquet"))
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def test_the_result_equals_one_collection_of_all_items(tmp_path: Path) -> None:
    grow(tmp_path / "whole", 20, publish_every=4)
    a = make(tmp_path / "a", *map(item, range(7)))
    b = make(tmp_path / "b", *map(item, range(7, 20)))
    report = merge([a, b], tmp_path / "c")
    assert content(tmp_path / "c") == content(tmp_path / "whole")
    assert (report.items, report.superseded, report.failures) == (20, 0, 0)
    assert verify(tmp_path / "c") == []
    assert leftovers(tmp_path / "c") == []
    snapshot = Snapshot.open(tmp_path / "c")
    assert [snapshot.last_embedded_id(space.name) for space in (PICTURES, SOUND)] == [19, 19]
    assert [file.rows for file in snapshot.manifest.files_in("items")] == [7, 13]
    expected = [(str(a), n, n, f"/media/{n:04d}") for n in range(7)]
    expected += [(str(b), n - 7, n, f"/media/{n:04d}") for n in range(7, 20)]
    assert id_table(tmp_path / "c") == expected
    assert content(a)[0] == content(tmp_path / "whole")[0]  # the inputs stay


def test_removed_items_are_left_out_and_small_shards_are_joined(tmp_path: Path) -> None:
    grow(tmp_path / "a", 12, publish_every=3)
    with CollectionWriter.open(tmp_path / "a") as writer:
        writer.remove([0, 5, 11])
    b = make(tmp_path / "b", item(20))
    merge([tmp_path / "a", b], tmp_path / "c")
    kept = [1, 2, 3, 4, 6, 7, 8, 9, 10, 20]
    assert [row["item_id"] for row in rows(tmp_path / "c").values()] == list(range(10))
    assert list(rows(tmp_path / "c")) == [f"/media/{number:04d}" for number in kept]
    snapshot = Snapshot.open(tmp_path / "c")
    for new, number in enumerate(kept):
        expected = item(number).segments[SOUND.name].vectors.astype(np.float16)
        assert np.array_equal(snapshot.item_segments(SOUND.name, new).vectors, expected)
    assert [file.rows for file in snapshot.manifest.files_in("items")] == [9, 1]


def test_the_newest_version_of_a_file_stays(tmp_path: Path) -> None:
    old = item(3).info.mtime
    a = make(tmp_path / "a", item(0), item(1), item(3))
    b = make(tmp_path / "b", changed(3, mtime=old + 5), changed(0, mtime=1.0), item(1))
    report = merge([a, b], tmp_path / "c")
    found = rows(tmp_path / "c")
    assert report.superseded == 3
    assert [found[f"/media/000{n}"]["sha256"] for n in (0, 1, 3)] == [
        item(0).info.sha256, item(1).info.sha256, item(303).info.sha256
    ]  # fmt: skip
    # Every old id leads to the item of its uri, also that of an older version.
    assert id_table(tmp_path / "c") == [
        (str(a), 0, 0, "/media/0000"),
        (str(a), 1, 1, "/media/0001"),
        (str(a), 2, 2, "/media/0003"),
        (str(b), 0, 2, "/media/0003"),
        (str(b), 1, 0, "/media/0000"),
        (str(b), 2, 1, "/media/0001"),
    ]


def test_columns_of_other_types_and_names_are_joined(tmp_path: Path) -> None:
    a = make(tmp_path / "a", item(0, year=1999, Place="Bonn", size=2**60))
    b = make(tmp_path / "b", item(1, year=2000.5, place="Rome", size=1.5))
    report = merge([a, b], tmp_path / "c")
    first, second = rows(tmp_path / "c").values()
    assert [first["year"], second["year"]] == [1999.0, 2000.5]
    assert [first["Place"], first["place_2"]] == ["Bonn", None]
    assert [second["Place"], second["place_2"]] == [None, "Rome"]
    assert [first["size"], second["size"]] == [str(2**60), "1.5"]
    assert [notice.partition(": ")[2] for notice in report.notices] == [
        "column 'year' changes from int64 to double",
        "column 'size' holds int64 and double (a double cannot hold an integer of 2^53 or more); "
        "it is stored as text",
        "column 'place' differs from another in case only; it is stored as 'place_2'",
    ]


def test_a_space_of_another_digest_is_one_error(tmp_path: Path) -> None:
    a = make(tmp_path / "a", item(0))
    b = make(tmp_path / "b", item(1), spaces=(replace(PICTURES, digest="f" * 64), SOUND))
    with pytest.raises(SpaceMismatchError, match=r"^the space pictures-00000001 of .*/b has the"):
        merge([a, b], tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_gap_in_a_space_is_reported_and_a_missing_end_is_completed_later(tmp_path: Path) -> None:
    silent = replace(item(0), segments={PICTURES.name: item(0).segments[PICTURES.name]})
    a = make(tmp_path / "a", silent, spaces=(PICTURES,))
    b = make(tmp_path / "b", item(1))
    report = merge([a, b], tmp_path / "c")
    assert [notice.partition(":")[0] for notice in report.notices] == [str(a)]
    assert "1 items have no vectors in sound-00000002" in report.notices[0]
    report = merge([b, a], tmp_path / "d")
    assert report.notices == ()
    with CollectionWriter.open(tmp_path / "d") as writer:
        writer.add_rows(1, SOUND.name, nothing(4), None)
    assert Snapshot.open(tmp_path / "d").last_embedded_id(SOUND.name) == 1


def test_open_failures_are_kept_unless_a_newer_item_resolves_them(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a", item(0)), make(tmp_path / "b", item(1))
    failures = {
        a: [
            Failure("/media/0001", "decode", "cut", 10, 1.0),  # b has a newer version
            Failure("/media/0000", "ocr", "no words"),  # of its own item
            Failure("/media/x", "open", "older", 1, 5.0),
        ],
        b: [
            Failure("/media/x", "open", "newer", 1, 6.0),
            Failure("/media/0000", "decode", "changed", 10, 4e9),  # newer than the item of a
        ],
    }
    for root, given in failures.items():
        with CollectionWriter.open(root) as writer:
            for failure in given:
                writer.add_failure(failure)
    report = merge([a, b], tmp_path / "c")
    assert report.failures == 2
    assert Snapshot.open(tmp_path / "c").failures() == {
        failure.uri: failure for failure in (failures[b][1], failures[b][0])
    }


def test_the_output_must_be_new_and_inputs_differ(tmp_path: Path) -> None:
    a = make(tmp_path / "a", item(0))
    with pytest.raises(CollectionError, match="is a collection already; name a new folder"):
        merge([a], a)
    (tmp_path / "link").symlink_to(a)
    with pytest.raises(QueryError, match="are the same collection; name it once"):
        merge([a, tmp_path / "link"], tmp_path / "c")
    with pytest.raises(QueryError, match="no collection is given"):
        merge([], tmp_path / "c")
    (tmp_path / "c-ids.parquet").write_text("mine")
    with pytest.raises(OutputExistsError, match="is not a table of ids; rename it"):
        merge([a], tmp_path / "c")


def test_a_flipped_bit_of_an_input_is_not_copied(tmp_path: Path) -> None:
    a = make(tmp_path / "a", item(0))
    file = tmp_path / "a" / Snapshot.open(a).manifest.files_in(f"segments/{SOUND.name}")[0].path
    blob = bytearray(file.read_bytes())
    blob[len(blob) // 2] ^= 1
    file.write_bytes(blob)
    with pytest.raises(CollectionDamagedError, match="its sha256 differs from the manifest"):
        merge([a], tmp_path / "c")
    assert not (tmp_path / "c/CURRENT").exists()


def test_a_full_disk_leaves_nothing_and_what_a_killed_merge_left_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = make(tmp_path / "a", *map(item, range(6)))
    with monkeypatch.context() as patch:
        use_system(FlakySystem(fail_at=40), patch.setattr)
        with pytest.raises(StorageError, match="cannot write"):
            merge([a], tmp_path / "c")
    assert not (tmp_path / "c/CURRENT").exists()
    (tmp_path / "c/items").mkdir(exist_ok=True)
    (tmp_path / "c/items/00000.parquet").write_bytes(b"of a killed merge")
    (tmp_path / "c/items/mine.txt").write_text("no file of a collection")
    merge([a], tmp_path / "c")
    assert leftovers(tmp_path / "c") == ["items/mine.txt"]
    assert content(tmp_path / "c") == content(a)
