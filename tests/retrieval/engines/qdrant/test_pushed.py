"""A search of a pushed collection answers as a search of the collection by vectors does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.collection import Collection
from retrieval.engines.qdrant.push import push
from retrieval.engines.qdrant.pushed import PushedCollection, open_pushed
from retrieval.errors import (
    FilterError,
    QueryError,
    SpaceMismatchError,
)
from retrieval.search.calibration import QueryType
from retrieval.search.hits import Hits
from retrieval.search.query import Query, Term
from retrieval.search.result_json import as_json
from retrieval.types import Hit, Medium
from support import pushed_toys
from support.indexed_toys import unit
from support.pushed_toys import FIRST, SECOND, SOUND
from support.served_toys import embed_toys, ids_by_name, write_media

FLOAT32 = 1e-6

FLOAT16 = 2e-3
"""Largest difference of two scores, where vectors and queries are rounded to float16."""

WORDS = ("red", "a blue car", "high", "low silence", "green and white", "unknown words")

TARGETS = ((), ("image",), ("video",), ("music",), ("image", "music"))

FILTERS = (
    None, "number > 30", "price < 5", "NOT flag", "name IN ('name 1', 'name 2', 'name 3')",
    "taken >= '2020-01-10' OR price IS NULL", "day < '2021-08-01' AND number <> 40",
    "medium = 'vinyl'", "number BETWEEN 10 AND 50", "name LIKE 'name 1%'", "modality <> 'image'",
)  # fmt: skip


@pytest.fixture(scope="module")
def local(toys: Path) -> Collection:
    return pushed_toys.opened(toys)


@pytest.fixture(scope="module")
def pushed(toys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PushedCollection]:
    """Pushed to a folder; the collection itself is not used."""
    address = f"qdrant+file:{tmp_path_factory.mktemp('pushed') / 'q'}#toys"
    push(toys, address)
    with pushed_toys.searched(address, use_source=False) as found:
        yield found


@contextmanager
def changed_source(pushed: PushedCollection, *, used: bool) -> Iterator[None]:
    """Use the collection itself, or not; a folder is open once."""
    before = pushed._has_source
    pushed._has_source = used
    try:
        yield
    finally:
        pushed._has_source = before


def searches(count: int) -> list[dict[str, Any]]:
    """Arguments of some searches."""
    rng = random.Random(7)
    return [
        {
            "query": rng.choice(WORDS),
            "to": rng.choice(TARGETS),
            "where": rng.choice(FILTERS[1:] if number < 100 else FILTERS),
            "k": rng.choice((10, 10, 3)),
            "offset": rng.choice((0, 0, 4)),
            "cutoff": rng.random() < 0.2,
        }
        for number in range(count)
    ]


def assert_equal_hits(found: Hits, expected: Hits, tolerance: float) -> None:
    """Compare ids, order and all fields; scores may differ a little."""
    assert [hit.item_id for hit in found] == [hit.item_id for hit in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=tolerance)
        assert replace(one, score=None) == replace(other, score=None)


def assert_close_hits(hits: Hits, expected: Hits, pushed: PushedCollection) -> None:
    """Compare hits whose scores are rounded to float16, which can swap neighbours."""
    scores = {hit.item_id: hit for hit in expected}
    assert sorted(hit.item_id for hit in hits) == sorted(scores)
    ranked = []
    for hit in hits:
        exact = scores[hit.item_id]
        assert hit.score == pytest.approx(exact.score, abs=FLOAT16)
        calibration = pushed.card.calibration(str(exact.space))
        calibrated = calibration.calibrated(exact.score or 0.0, QueryType.TEXT, exact.medium)
        ranked.append((exact.score or 0.0, calibrated))
        assert replace(hit, score=None, rank=0) == replace(exact, score=None, rank=0)
    # Scores of one space are compared as they are, others calibrated.
    tolerances = (FLOAT16, 20 * FLOAT16)
    assert any(
        all(one[n] >= other[n] - tolerance for one, other in pairwise(ranked))
        for n, tolerance in enumerate(tolerances)
    )


# ---------------------------------------------------------------- equal answers


def test_a_hundred_filtered_queries(local: Collection, pushed: PushedCollection) -> None:
    counts = []
    for options in searches(120):
        expected = local.search(**options, text="off")
        assert_equal_hits(pushed.search(**options), expected, FLOAT32)
        counts.append(len(expected))
    assert sum(count > 0 for count in counts) > 70


def test_a_hundred_filtered_queries_in_qdrants_own_engine(
    toys: Path, local: Collection, edge
) -> None:
    """Scores of float16; groups are requested until there are enough."""
    push(toys, "qdrant://edge/toys")
    with pushed_toys.searched("qdrant://edge/toys", use_source=False) as found:
        for options in searches(120):
            expected = local.search(**options, text="off")
            assert_close_hits(found.search(**options), expected, found)


@pytest.mark.long
def test_a_hundred_filtered_queries_with_exact_scores(
    toys: Path, local: Collection, address: str
) -> None:
    """With the collection itself, scores are equal too."""
    push(toys, address)
    with pushed_toys.searched(address) as found:
        for options in searches(100):
            assert found.search(**options) == local.search(**options, text="off")


def test_json_is_that_of_a_local_search(local: Collection, pushed: PushedCollection) -> None:
    one = as_json(pushed.answer("red", where="number > 3", with_vectors=True))
    other = as_json(local.answer("red", where="number > 3", with_vectors=True, text="off"))
    one["took_ms"] = other["took_ms"] = None
    for document in (one, other):
        for hit in document["hits"]:
            hit["score"] = round(hit["score"], 6)
    assert one == other


QUERIES = {
    "sum": {"query": '"red" + 0.5*"blue"'},
    "like a picture": {"like": 6},
    "like a video": {"like": 4},
    "like a recording": {"like": 5},
    "an item in a sum": {
        "query": Query((Term(text="red"), Term(item_id=4, weight=0.5)))
    },
    "a vector": {"vector": unit(1, 99)[0], "space": SOUND.name},
    "several vectors": {"vector": unit(5, 98), "space": SECOND.name},
    "ids": {"query": "red", "ids": [4, 5, 6, 1000, 20]},
    "no ids": {"query": "red", "ids": []},
    "one space": {"query": "red", "spaces": FIRST.name},
    "lowest score": {"query": "red", "min_score": 0.25, "k": 50},
    "all items": {"query": "red", "k": 1000},
    "last page": {"query": "red", "k": 10, "offset": 50},
    "beyond the last page": {"query": "red", "offset": 500},
    "conditions": {"query": "red", "where": ["number > 10", "number < 20 OR price > 9"]},
}  # fmt: skip


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("exact", [False, True])
def test_every_kind_of_query(
    local: Collection, pushed: PushedCollection, name: str, exact: bool
) -> None:
    options = QUERIES[name]
    expected = local.answer(**options, text="off")
    with changed_source(pushed, used=exact):
        found = pushed.answer(**options)
    assert found.query == expected.query
    assert_equal_hits(found.hits, expected.hits, 0.0 if exact else FLOAT32)
    if name not in ("no ids", "beyond the last page"):
        assert found.hits


def test_equal_scores_are_ordered_by_item(tmp_path: Path) -> None:
    """Copies of a picture have one score."""
    from retrieval.store.writer import CollectionWriter

    root = tmp_path / "c"
    with CollectionWriter.open(root, create=True) as writer:
        writer.add_space(FIRST)
        for number in range(30):
            item = pushed_toys.item(3 * (number % 2))
            info = replace(item.info, uri=f"/media/{number}", sha256=f"{number:064x}")
            segments = {FIRST.name: item.segments[FIRST.name]}
            writer.add(replace(item, info=info, segments=segments))
    address = f"qdrant+file:{tmp_path / 'q'}#toys"
    push(root, address)
    local = pushed_toys.opened(root)
    with pushed_toys.searched(address, use_source=False) as found:
        for k in (4, 12, 20):
            assert_equal_hits(found.search("red", k=k), local.search("red", k=k), FLOAT32)


def test_hits_that_the_cut_off_hides_are_counted(
    local: Collection, pushed: PushedCollection
) -> None:
    expected = local.answer("red", k=50, cutoff=True, text="off")
    assert expected.hidden > 0
    assert pushed.answer("red", k=50, cutoff=True).hidden == expected.hidden


def test_hits_are_hits(pushed: PushedCollection) -> None:
    hit = pushed.search("red", to="image", k=1)[0]
    assert isinstance(hit, Hit)
    assert (hit.rank, hit.modality, hit.medium, hit.missing) == (
        1, Medium.IMAGE, Medium.IMAGE, True,
    )  # fmt: skip
    vector = pushed.search("red", to="image", k=1, with_vectors=True)[0].vector
    assert vector is not None
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-3)


# ---------------------------------------------------------------- the collection itself


@pytest.mark.parametrize("options", [{}, {"to": ["moment", "video"]}, {"where": "number > 30"}])
def test_moments_are_those_of_the_collection(
    local: Collection, pushed: PushedCollection, options: dict[str, Any]
) -> None:
    options = {"to": ["moment"], "k": 15} | options
    expected = local.search("red", **options, text="off")
    assert any(hit.start_seconds for hit in expected)
    with changed_source(pushed, used=True):
        assert pushed.search("red", **options) == expected


def test_moments_need_the_collection(pushed: PushedCollection) -> None:
    with pytest.raises(QueryError, match="moments need the collection itself; give the folder"):
        pushed.search("red", to="moment")


def test_pictures_are_ranked_again(pushed: PushedCollection) -> None:
    """A re-ranker reads the files, so it does not need the collection."""

    class Backwards:
        spec = "backwards"

        def probabilities(self, text: str, pixels: Any) -> Any:
            raise AssertionError("no file can be read")

        geometry = pushed_toys.ENCODERS[FIRST.name].geometry

    hits = pushed.search("red", to="image", k=5, rerank=Backwards())
    assert_equal_hits(hits, pushed.search("red", to="image", k=5), FLOAT32)
    with pytest.raises(QueryError, match="re-ranking needs a single text"):
        pushed.search(like=6, rerank=Backwards())


# ---------------------------------------------------------------- files and models


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, str]]:
    """Real files, embedded by toy models and pushed."""
    folder = tmp_path_factory.mktemp("media")
    files = write_media(folder / "files")
    with pytest.MonkeyPatch.context() as patch:
        root = embed_toys(files, folder / "toys", patch.setattr)
        Collection(root, device="cpu").index()
        push(root, f"qdrant+file:{folder / 'q'}#toys")
        yield files, root, f"qdrant+file:{folder / 'q'}"


@pytest.mark.parametrize("name", ["red.png", "low.wav", "film.mp4"])
def test_files_are_queries(media: tuple[Path, Path, str], name: str) -> None:
    files, root, address = media
    local = Collection(root, device="cpu")
    with open_pushed(address, device="cpu", use_source=False) as found:
        for query in (files / name, f'@"{files / name}" + 0.2*"red"'):
            expected = local.search(query, k=5, text="off")
            assert expected
            assert_equal_hits(found.search(query, k=5), expected, FLOAT32)
        picture = local.search(like=ids_by_name(root)[name], k=5)
        assert_equal_hits(found.search(like=ids_by_name(root)[name], k=5), picture, FLOAT32)


def test_another_model_of_the_same_name_is_refused(
    media: tuple[Path, Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from support import embed_process
    from support.toy_encoder import ToyEncoder

    _, _, address = media
    for spec, toy in embed_process.TOYS.items():
        monkeypatch.setitem(embed_process.TOYS, spec, ToyEncoder(toy.media, name=toy.name, dim=40))
    with open_pushed(address, use_source=False) as found:
        with pytest.raises(SpaceMismatchError) as caught:
            found.search("red")
        assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- status and bad input


def test_status(local: Collection, pushed: PushedCollection) -> None:
    expected = local.status()
    found = pushed.status()
    assert (found.generation, found.items) == (expected.generation, expected.items)
    assert [space.rows for space in found.spaces] == [
        local.snapshot.count_segments(space.name) for space in local.snapshot.spaces
    ]
    assert len(pushed) == len(local)
    assert bool(pushed)
    assert f"generation {expected.generation}" in repr(pushed)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"query": "red", "text": "only"}, QueryError, "Qdrant has no words of the items"),
        ({"query": "red", "where": "lower(name) = 'a'"}, FilterError, "Qdrant cannot evaluate"),
        ({"query": "red", "where": "nothing > 3"}, FilterError, "no column"),
        ({"query": "red", "k": 0}, QueryError, "k must be at least 1"),
        ({"query": "red", "to": "picture"}, QueryError, "unknown target"),
        ({"query": "red", "ids": ["a"]}, QueryError, "ids must be whole numbers"),
        ({"like": 3}, QueryError, "no item that was pushed has the id 3"),
        ({"vector": [1.0, 2.0]}, SpaceMismatchError, "no space has vectors of 2 numbers"),
        ({"vector": unit(1, 1)[0]}, QueryError, "may belong to"),
        ({}, QueryError, "give one of a query"),
        ({"query": "@missing.png"}, QueryError, "no such file"),
    ],
)
def test_bad_arguments(
    pushed: PushedCollection, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        pushed.search(**options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
