"""Several collections are opened, named, checked and closed together."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import retrieval
from retrieval.collection import Collection
from retrieval.collection_group import CollectionGroup
from retrieval.errors import (
    CollectionDamagedError,
    CollectionNotFoundError,
    QueryError,
)
from retrieval.store.writer import CollectionWriter
from support.indexed_toys import ENCODER, PICTURES
from support.several_toys import (
    RANGES,
    REMOVED,
    Toys,
    group_of,
    item,
    one_and_several,
    toys_of,
)

Both = tuple[Collection, CollectionGroup]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return one_and_several(tmp_path_factory.mktemp("several"), indexed=True)


def test_retrieval_opens_lists_and_patterns(tmp_path: Path) -> None:
    for name in ("b2", "a1", "c3"):
        toys_of(tmp_path / "archive" / name, [0, 1], indexed=False)
    (tmp_path / "archive" / "notes").mkdir()
    (tmp_path / "archive" / "list.txt").write_text("")
    archive = tmp_path / "archive"
    several = retrieval.open(f"{archive}/*")
    assert isinstance(several, CollectionGroup)
    assert list(several.collections) == [str(archive / name) for name in ("a1", "b2", "c3")]
    assert len(several) == 6
    listed = retrieval.open([archive / "c3", f"{archive}/[ab]*", archive / "a1"])
    assert list(listed.collections) == [str(archive / name) for name in ("c3", "a1", "b2")]
    assert isinstance(retrieval.open(archive / "a1"), Collection)
    with pytest.raises(CollectionNotFoundError, match=r"no collection matches .*z\*"):
        retrieval.open(f"{archive}/z*")
    with pytest.raises(CollectionNotFoundError, match="notes"):
        retrieval.open([archive / "a1", archive / "notes"])
    with pytest.raises(QueryError, match="at least one"):
        retrieval.open([])


def test_items_are_named_by_collection_and_id(indexed: Both) -> None:
    several = indexed[1]
    for text, message in (
        ("17", "is NAME:ID, such as holidays:7; got '17'"),
        ("part0:x", "NAME:ID"),
        ("nowhere:1", "is none of"),
        ("part0:2000", "no item has the id 2000"),
        (f"part0:{REMOVED[0]}", f"no item has the id {REMOVED[0]}"),
    ):
        with pytest.raises(QueryError, match=message):
            several.search(like=text)
    with pytest.raises(QueryError, match="give one of a query"):
        several.search("red", like="part0:1")
    with pytest.raises(QueryError, match="give one of a query"):
        several.search()
    with pytest.raises(QueryError, match="is none of"):
        several.search("red", ids=["other:1"])


def test_a_last_part_that_two_collections_share_is_ambiguous(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        toys_of(tmp_path / folder / "c", [0, 3], indexed=False)
    several = group_of(*(Toys(tmp_path / f / "c") for f in ("x", "y")))
    with pytest.raises(QueryError, match="may be any of"):
        several.search(like="c:0")
    assert len(several.search(like=f"{tmp_path / 'x' / 'c'}:0")) == 3


def test_hits_name_their_collection_and_its_item(indexed: Both) -> None:
    one, several = indexed
    for hit in several.search("wort1 red", k=50):
        assert hit.collection is not None
        opened = several.collections[hit.collection]
        ((uri, *_),) = opened.searcher.items.rows([hit.item_id])
        assert uri == hit.uri
    assert all(hit.collection is None for hit in one.search("red"))
    table = several.search("red").to_arrow()
    assert set(table.column("collection").to_pylist()) <= set(several.collections)
    assert "collection" not in one.search("red").to_arrow().column_names


def damage(collection: Collection) -> None:
    file = collection.snapshot.manifest.files_in("items")[0]
    (collection.root / file.path).write_bytes(b"PAR1")


def test_a_damaged_member_is_named_and_skipped_on_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, _ = one_and_several(tmp_path, indexed=False)
    names = [str(tmp_path / f"part{number}") for number in range(len(RANGES))]
    damage(Collection(names[1]))
    with pytest.raises(CollectionDamagedError, match="part1"):
        CollectionGroup.open(names, device="cpu")
    several = CollectionGroup.open(names, device="cpu", skip_damaged=True)
    assert list(several.skipped) == [names[1]]
    assert "part1" in several.skipped[names[1]]
    assert "is skipped" in caplog.text
    several = group_of(*(Toys(name) for name in several.collections))
    where = f"number < {RANGES[1][0]} OR number >= {RANGES[1][1]}"
    assert [hit.uri for hit in several.search("red", k=20)] == [
        hit.uri for hit in one.search("red", where=where, k=20)
    ]
    for name in names:
        if name != names[1]:
            damage(Collection(name))
    with pytest.raises(CollectionDamagedError):
        CollectionGroup.open(names, skip_damaged=True)
    with pytest.raises(CollectionNotFoundError):
        CollectionGroup.open([tmp_path / "all", tmp_path / "gone"], skip_damaged=True)


def test_status_verify_and_refresh(tmp_path: Path) -> None:
    toys = [toys_of(tmp_path / name, [0, 1, 2], indexed=False) for name in ("a", "b")]
    several = group_of(*toys)
    names = list(several.collections)
    assert {name: sum(status.items.values()) for name, status in several.status().items()} == {
        names[0]: 3,
        names[1]: 3,
    }
    assert several.verify() == {names[0]: [], names[1]: []}
    assert len(several.search("red", k=99)) == 6
    with CollectionWriter.open(tmp_path / "b") as writer:
        writer.add(item(9))
    assert len(several.search("red", k=99)) == 6
    several.refresh()
    assert len(several.search("red", k=99)) == 7
    damage(toys[1])
    problems = several.verify()
    assert problems[names[0]] == []
    assert len(problems[names[1]]) == 1
    several.close()


def test_a_group_is_pickled_without_its_files(indexed: Both) -> None:
    several = indexed[1]
    copy = pickle.loads(pickle.dumps(several))
    assert copy.search("wort1 wort2") == several.search("wort1 wort2")
    assert ENCODER.spec in repr(PICTURES)
