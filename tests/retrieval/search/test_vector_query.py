"""Vectors as queries, in a collection whose model is nowhere."""

import json
from pathlib import Path

import numpy as np
import pytest

from retrieval.collection import Collection
from retrieval.errors import QueryError, SpaceMismatchError, UnknownModelError
from retrieval.search.calibration import QueryType
from retrieval.search.indexing.card import IndexCard
from retrieval.search.vector_query import VectorQuery
from retrieval.types import Medium
from support.commands import run
from support.messages import logged
from support.vector_items import DIM, SPACE, directions, item_of, write_items

ROWS = directions(60)


@pytest.fixture
def imported(tmp_path: Path) -> Collection:
    """40 pictures and 5 videos of four segments, of a model that no release knows."""
    items = [item_of(f"{n}.jpg", Medium.IMAGE, ROWS[n : n + 1]) for n in range(40)]
    items += [item_of(f"{n}.mp4", Medium.VIDEO, ROWS[40 + 4 * n : 44 + 4 * n]) for n in range(5)]
    write_items(tmp_path / "c", items)
    return Collection.open(tmp_path / "c", device="cpu")


def best_items(query: np.ndarray, k: int) -> list[int]:
    scores = ROWS.astype(np.float16).astype(np.float64) @ query
    items = np.concatenate([np.arange(40), 40 + np.arange(20) // 4])
    best = {int(item): scores[items == item].max() for item in items}
    return sorted(best, key=lambda item: -best[item])[:k]


def test_field_59_a_vector_finds_what_brute_force_finds(imported: Collection) -> None:
    query = directions(1, 9)[0]
    for vector in (query, 7.5 * query.astype(np.float64), query.tolist(), query * np.float32(1e30)):
        hits = imported.search(vector=vector, k=12)
        assert [hit.item_id for hit in hits] == best_items(query, 12)
    assert [hit.item_id for hit in imported.search(vector=query, space=SPACE.name, k=12)] == [
        hit.item_id for hit in hits
    ]
    moments = imported.search(vector=ROWS[50], to=["moment"], k=3)
    assert (moments[0].item_id, moments[0].start_seconds) == (42, 4.0)
    assert moments[0].score == pytest.approx(1, abs=1e-3)
    only = imported.search(vector=query, to=["video"], where="item_id > 41", k=9)
    assert [hit.item_id for hit in only] == [n for n in best_items(query, 45) if n > 41]
    with pytest.raises(UnknownModelError):
        imported.search("a text needs the model")


@pytest.mark.parametrize("kind", ["exact", "IVF4,SQ8"])
def test_field_59_an_index_without_a_model_is_tuned_on_rows(
    imported: Collection, kind: str
) -> None:
    with logged("retrieval") as lines:
        (card,) = imported.index(kind)
    assert [line for line in lines if "tuned on its rows alone" in line and "toy:vectors" in line]
    assert card.reason.endswith("could not be loaded")
    assert set(card.measured.recall) == {QueryType.MEDIA}
    assert {entry.query for entry in card.calibration} == {QueryType.MEDIA}
    (folder,) = imported.snapshot.index_folders(SPACE.name)
    assert IndexCard.read(folder / "card.json") == card
    assert set(card.efforts) == (set() if kind == "exact" else set(QueryType))
    query = directions(1, 9)[0]
    assert [hit.item_id for hit in imported.search(vector=query, k=5)] == best_items(query, 5)


def test_several_vectors_score_by_the_mean_of_their_best(imported: Collection) -> None:
    both = np.stack([ROWS[40], ROWS[43]])
    assert imported.search(vector=both, k=1)[0].item_id == 40


def test_field_59_on_the_command_line(imported: Collection, tmp_path: Path) -> None:
    query = directions(1, 9)
    np.save(tmp_path / "q.npy", query)
    arguments = ("search", imported.root, "--vector", tmp_path / "q.npy", "-k", "4")
    document = json.loads(run(*arguments, "--format", "json"))
    assert [hit["item_id"] for hit in document["hits"]] == best_items(query[0], 4)
    assert document["query"] == f"a vector of {DIM} numbers"
    assert run(*arguments, "--space", SPACE.name, "--format", "json")
    for more, reason in (
        (("a text",), "give a QUERY or --queries FILE, --like ITEM_ID, or --vector FILE"),
        (("--space", "other"), "no space 'other' that has vectors of 32 numbers; known: vec"),
        (("--rerank", "tiny"), "re-ranking needs a single text, got a vector of 32 numbers"),
    ):
        with pytest.raises((QueryError, SpaceMismatchError), match=reason):
            run(*arguments, *more)
    with pytest.raises(QueryError, match="--space names the space of --vector"):
        run("search", imported.root, "a text", "--space", SPACE.name)


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        (np.ones(7), r"no space has vectors of 7 numbers; known: vectors-00000001 \(32 num"),
        (np.full(DIM, np.nan), "query 0 is NaN, infinite or zero"),
        (np.zeros((2, DIM)), "query 0 is NaN, infinite or zero"),
        ([], r"got shape \(0,\)"),
        (np.ones((2, 3, DIM)), r"got shape \(2, 3, 32\)"),
        (["red"] * DIM, "got shape"),
        (np.ones((65, DIM)), "65 vectors, at most 64"),
        ([[1.0], [1.0, 2.0]], "no array of numbers"),
        (3.0, r"got shape \(\)"),
    ],
)
def test_field_59_a_query_that_is_not_a_vector_fails(
    imported: Collection, vector: object, reason: str
) -> None:
    with pytest.raises((QueryError, SpaceMismatchError), match=reason):
        imported.search(vector=vector)  # type: ignore[arg-type]


def test_a_query_or_a_vector_and_a_space_only_with_a_vector(imported: Collection) -> None:
    for given in ({}, {"query": "red", "vector": ROWS[0]}):
        with pytest.raises(
            QueryError, match="give one of a query, the id of an item to search like, and a vector"
        ):
            imported.search(**given)  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="`space` is for vectors only"):
        imported.search("red", space=SPACE.name)


def test_two_spaces_with_vectors_of_one_length_need_a_name() -> None:
    query = VectorQuery.of(np.ones(DIM))
    other = type(SPACE)("others-00000002", "toy:others", DIM, (Medium.IMAGE,), "1" * 64)
    with pytest.raises(QueryError, match="may belong to vectors-00000001, others-00000002; name"):
        query.choose_space([SPACE, other])
    assert VectorQuery.of(np.ones(DIM), other.name).choose_space([SPACE, other]) is other


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"hello", b"PK\x03\x04", b"\x80\x04."])
def test_field_59_a_file_without_a_vector_fails(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "q.npy"
    with pytest.raises(QueryError, match="no such file"):
        VectorQuery.read(path)
    path.write_bytes(content)
    with pytest.raises(QueryError, match=r"q\.npy is not a complete \.npy file"):
        VectorQuery.read(path)
    whole = tmp_path / "whole.npy"
    np.save(whole, np.ones(DIM))
    path.write_bytes(whole.read_bytes()[:-3])
    with pytest.raises(QueryError, match=r"q\.npy is not a complete \.npy file"):
        VectorQuery.read(path)
    np.save(path, np.array([{}], object))
    with pytest.raises(QueryError, match=r"q\.npy is not a complete \.npy file"):
        VectorQuery.read(path)
