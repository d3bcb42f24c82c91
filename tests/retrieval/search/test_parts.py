from pathlib import Path

import numpy as np
import pytest

from indexes.saved import open_index
from retrieval.search.calibration import QueryType
from retrieval.search.indexing import part
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.card import IndexCard
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.matches import best_items
from retrieval.search.open_space import OpenedSpace
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.types import Medium
from support.indexed_toys import ENCODER, PICTURES, built, grow, sixty_items
from support.vector_items import SPACE, directions, item_of, write_items


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return sixty_items(tmp_path / "collection")


def parts(root: Path) -> list[tuple[int, int]]:
    """Rows and first item of each part of the pictures' index."""
    cards = [
        IndexCard.read(folder / "card.json")
        for folder in Snapshot.open(root).index_folders(PICTURES.name)
    ]
    return [(card.rows, card.first_item_id) for card in cards]


def test_new_items_become_a_part_and_small_parts_are_merged(root: Path) -> None:
    built(root)
    assert parts(root) == [(145, 0)]
    grow(root, 60, 62)
    built(root)
    assert parts(root) == [(145, 0), (5, 60)]
    grow(root, 62, 64)
    _, said = built(root)
    assert parts(root) == [(145, 0), (10, 60)]
    assert f"{PICTURES.name}: 5 new rows, merged with 1 part" in said
    grow(root, 64, 100)
    built(root)
    assert parts(root) == [(245, 0)]
    assert verify(root) == []


def test_removed_items_are_masked_until_they_are_many(root: Path) -> None:
    built(root)
    with CollectionWriter.open(root) as writer:
        writer.remove([2])
    assert built(root)[1][0] == f"{PICTURES.name}: the index is current"
    assert parts(root) == [(145, 0)]
    with CollectionWriter.open(root) as writer:
        writer.remove(list(range(1, 25)))
    assert built(root)[1][0] == f"{PICTURES.name}: many of its items were removed"
    assert parts(root) == [(145 - 12 * 4 - 12 + 1 - 1, 0)]
    assert verify(root) == []


def test_parts_share_the_first_ones_quantizer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, "EXACT_PART_ROWS", 1)
    built(root, "IVF4,SQ8")
    grow(root, 60, 64)
    said = built(root)[1]
    assert not [line for line in said if "training" in line]
    first, second = (
        open_index(folder / "part-000.faiss")
        for folder in Snapshot.open(root).index_folders(PICTURES.name)
    )
    np.testing.assert_array_equal(
        first.quantizer.reconstruct_n(0, 4), second.quantizer.reconstruct_n(0, 4)
    )
    assert (first.ntotal, second.ntotal) == (145, 10)


def test_twice_the_rows_are_trained_again(root: Path) -> None:
    built(root, "IVF4,SQ8")
    grow(root, 60, 150)
    cards, said = built(root)
    assert parts(root) == [(145 + 45 + 45 * 4, 0)]
    assert f"{PICTURES.name}: it was trained for 145 rows of 370" in said
    assert cards[PICTURES.name].trained_for == 370


def test_another_request_causes_a_rebuild_and_none_does_not(root: Path) -> None:
    built(root, "exact")
    grow(root, 60, 62)
    cards, _ = built(root)
    assert cards[PICTURES.name].request.kind == "exact"
    assert parts(root) == [(145, 0), (5, 60)]
    cards, said = built(root, "auto")
    assert cards[PICTURES.name].request.kind == "auto"
    assert parts(root) == [(150, 0)]
    assert f"{PICTURES.name}: the requirements changed" in said


@pytest.mark.parametrize("kind", ["exact", "HNSW16", "NSG16", "IVF8,SQ8"])
def test_field_55_equal_rows_are_indexed_once_and_found_together(tmp_path: Path, kind: str) -> None:
    """Half of 400 pictures are one of five; a search by one finds all of its twins, by item."""
    vectors = directions(400, 3)
    copied = np.random.default_rng(1).permutation(400)[:200]
    vectors[copied] = vectors[np.arange(200) % 5]
    root = tmp_path / "collection"
    write_items(root, [item_of(f"{n}.jpg", Medium.IMAGE, vectors[n : n + 1]) for n in range(400)])
    (card,) = build_index(root, request=IndexRequest(kind), encoders=lambda _: ENCODER)
    distinct = len(np.unique(vectors.astype(np.float16), axis=0))
    assert (card.rows, card.vectors) == (400, distinct)
    assert card.factory == (None if kind == "exact" else kind)
    opened = OpenedSpace(Snapshot.open(root), SPACE)
    everything = opened.parts[0].selection(np.ones(400, np.bool_))
    for row in range(0, 400, 7):
        same = np.flatnonzero((vectors == vectors[row]).all(axis=1)).tolist()
        found = best_items(
            opened.parts[0], vectors[row : row + 1], len(same), everything, QueryType.MEDIA
        )
        assert [match.item_id for match in found] == same
    assert verify(root) == []
    again = build_index(root, encoders=lambda _: ENCODER)
    assert [part.generation for part in again] == [card.generation]
