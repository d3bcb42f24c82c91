from pathlib import Path

import pytest

from retrieval.collection import Collection
from retrieval.demo.world import World
from retrieval.embedding.options import EmbedOptions
from retrieval.errors import (
    CollectionDamagedError,
    CollectionNotFoundError,
    QueryError,
    SpaceMismatchError,
)
from retrieval.search.diff import Move, Side, compare, diff
from retrieval.search.options import SearchOptions
from retrieval.targets import Target

QUERIES = ["a red circle", "a night sky with a blue star", "a piano"]


def test_two_answers_by_hand() -> None:
    found = compare("q", ["a", "b", "c"], ["b", "a", "d"])
    assert found.jaccard == 0.5
    assert not found.same_first
    assert found.moves == (Move("a", 1, 2), Move("b", 2, 1), Move("c", 3, None), Move("d", None, 3))
    same = compare("q", ["a"], ["a"])
    assert (same.jaccard, same.rbo, same.same_first, same.moves) == (1.0, 1.0, True, ())
    assert compare("q", [], []).same_first


def test_a_collection_does_not_differ_from_itself_on_its_own_captions(indexed: Collection) -> None:
    received: list[tuple[float, float | None]] = []

    def progress(task: str, done: float, total: float | None, note: str = "") -> None:
        received.append((done, total))

    found = diff(indexed.root, indexed.root, progress=progress)
    captions = {
        caption
        for batch in indexed.snapshot.iter_items()
        for caption in batch.column("caption").to_pylist()
    }
    assert {query.query for query in found.queries} == captions
    assert (found.jaccard, found.rbo) == (1.0, 1.0)
    assert found.unchanged == found.same_first == len(captions)
    assert found.most_changed(5) == []
    assert received[-1] == (len(captions), len(captions))


def test_an_older_generation_still_contains_removed_items(copied: Collection) -> None:
    before = copied.snapshot.manifest.generation
    gone = copied.search(QUERIES[0], text="off")[0]
    copied.remove(ids=[gone.item_id])
    found = diff(f"{copied.root}@{before}", copied.root, QUERIES)
    first = found.queries[0]
    assert first.moves[0] == Move(gone.uri, 1, None)
    assert not first.same_first
    assert found.most_changed(1) == [first]
    assert found.unchanged < len(QUERIES)
    copied.compact(grace_seconds=0)
    with pytest.raises((CollectionDamagedError, CollectionNotFoundError), match=str(before)):
        diff(f"{copied.root}@{before}", copied.root, QUERIES)


def test_items_of_two_collections_are_matched_by_uri(
    indexed: Collection, world: World, tmp_path: Path
) -> None:
    other = Collection(tmp_path / "other", device="cpu")
    last = sorted((world.folder / "images").glob("*.png"))[-1]
    for source in (last, world.folder / "images"):
        other.add(source, options=EmbedOptions(models=("tiny",), device="cpu", workers=0))
    found = diff(indexed.root, other.root, QUERIES[:2], options=SearchOptions(to=[Target.IMAGE]))
    assert found.unchanged == 2
    ids = [
        {hit.uri: hit.item_id for hit in side.search(QUERIES[0], to=["image"], k=24)}
        for side in (indexed, other)
    ]
    assert ids[0] != ids[1]


def test_an_index_is_compared_with_exact_search_and_one_space_with_another(
    copied: Collection,
) -> None:
    copied.index(kind="IVF2,SQ8")
    found = diff(Side(copied.root, exact=True), copied.root, QUERIES)
    assert found.unchanged == len(QUERIES)  # both lists are visited
    images, music, _ = (space.name for space in copied.snapshot.spaces)
    sides = [Side(copied.root, space=name) for name in (images, music)]
    found = diff(*sides, QUERIES, options=SearchOptions(where="modality <> 'video'"))
    assert found.jaccard == 0.0
    assert {query.rbo for query in found.queries} == {0.0}


def test_a_folder_may_be_called_like_a_generation(tmp_path: Path) -> None:
    assert Side.parse("c@12") == Side(Path("c"), 12)
    assert Side.parse("c@new") == Side(Path("c@new"))
    (tmp_path / "c@12").mkdir()
    assert Side.parse(f"{tmp_path}/c@12").generation is None
    assert str(Side(Path("c"), 12, "s", exact=True)) == "c@12 (s, exact)"


def test_invalid_comparisons_fail(indexed: Collection, tmp_path: Path) -> None:
    root = indexed.root
    with pytest.raises(QueryError, match="there are no queries"):
        diff(root, root, [])
    with pytest.raises(QueryError, match="moments"):
        diff(root, root, QUERIES, options=SearchOptions(to=[Target.MOMENT]))
    with pytest.raises(CollectionNotFoundError, match="not a collection"):
        diff(root, tmp_path, QUERIES)
    with pytest.raises(CollectionNotFoundError, match="no generation 999"):
        diff(f"{root}@999", root, QUERIES)
    with pytest.raises(SpaceMismatchError, match="no space 'nowhere'"):
        diff(root, Side(root, space="nowhere"), QUERIES)


def test_diff_without_captions_and_queries_fails(world: World, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    bare = Collection(tmp_path / "bare", device="cpu")
    bare.add(tmp_path / "red.png", options=EmbedOptions(models=("tiny",), device="cpu", workers=0))
    with pytest.raises(QueryError, match="no captions"):
        diff(bare.root, bare.root)
