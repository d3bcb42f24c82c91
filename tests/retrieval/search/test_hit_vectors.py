import json

import numpy as np
import pytest

from retrieval.collection import Collection
from retrieval.demo.world import World
from retrieval.search.query import parse_query
from retrieval.search.query_vectors import embed_query
from retrieval.search.result_json import as_json
from retrieval.types import Hit, Medium


def query_vectors(collection: Collection, query: str, space: str) -> np.ndarray:
    space_of_it = collection.snapshot.space(space)
    return embed_query(parse_query(query), [space_of_it], collection.encoder)[space].vectors


def test_the_vector_scores_as_the_hit_does(indexed: Collection) -> None:
    hits = indexed.search("a red circle", k=99, with_vectors=True)
    assert len(hits) == 33
    for hit in hits:
        query = query_vectors(indexed, "a red circle", hit.space)[0]
        assert hit.vector is not None
        assert float(hit.vector @ query) == pytest.approx(hit.score, abs=2e-3)


def test_the_vector_is_the_row_of_the_span(indexed: Collection) -> None:
    for hit in indexed.search("a piano", to=["music"], k=99, with_vectors=True):
        rows = indexed.snapshot.item_segments(hit.space, hit.item_id)
        place = np.flatnonzero(
            (rows.start_seconds == np.float32(hit.start_seconds))
            & np.array([medium is hit.medium for medium in rows.media])
        )
        np.testing.assert_array_equal(hit.vector, rows.vectors[place[0]])


def test_a_moment_gets_an_overlapping_segment(indexed: Collection) -> None:
    hits = indexed.search("a red star", to=["moment"], k=5, with_vectors=True)
    assert hits
    for hit in hits:
        assert hit.vector is not None
        rows = indexed.snapshot.item_segments(hit.space, hit.item_id)
        place = int((rows.vectors @ hit.vector).argmax())
        assert rows.start_seconds[place] < hit.end_seconds
        assert rows.end_seconds[place] > hit.start_seconds


def test_a_file_finds_its_own_vector(indexed: Collection, world: World) -> None:
    video = world.folder / world.of(Medium.VIDEO)[0].file
    hit = indexed.search(f'@"{video}"', to=["video"], k=1, with_vectors=True)[0]
    assert hit.vector is not None
    own = query_vectors(indexed, f'@"{video}"', hit.space)
    assert float((own @ hit.vector).max()) == pytest.approx(1.0, abs=2e-3)


def test_vectors_are_in_json_only_on_request(indexed: Collection) -> None:
    asked = indexed.answer("a star", k=2, with_vectors=True)
    document = json.loads(json.dumps(as_json(asked)))
    for hit, shown in zip(asked.hits, document["hits"], strict=True):
        assert shown["vector"] == vector_of(hit).tolist()
    plain = indexed.answer("a star", k=2)
    assert all(hit.vector is None for hit in plain.hits)
    assert "vector" not in as_json(plain)["hits"][0]  # type: ignore[index]
    assert asked.hits == plain.hits


def vector_of(hit: Hit) -> np.ndarray:
    assert hit.vector is not None
    return hit.vector
