from pathlib import Path

import numpy as np
import pytest

from indexes.saved import open_index
from retrieval.search import part
from retrieval.search.card import IndexCard
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from support.indexed_toys import PICTURES, built, grow, sixty_items


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


def test_new_items_become_a_part_and_small_parts_are_folded(root: Path) -> None:
    built(root)
    assert parts(root) == [(145, 0)]
    grow(root, 60, 62)
    built(root)
    assert parts(root) == [(145, 0), (5, 60)]
    grow(root, 62, 64)
    _, said = built(root)
    assert parts(root) == [(145, 0), (10, 60)]
    assert f"{PICTURES.name}: 5 new rows, 1 part folded in" in said
    grow(root, 64, 100)
    built(root)
    assert parts(root) == [(245, 0)]
    assert verify(root) == []


def test_removed_items_are_masked_until_they_are_many(root: Path) -> None:
    built(root)
    with CollectionWriter.open(root) as writer:
        writer.remove([2])
    assert "kept" in built(root)[1][0]
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


def test_twice_the_rows_train_anew(root: Path) -> None:
    built(root, "IVF4,SQ8")
    grow(root, 60, 150)
    cards, said = built(root)
    assert parts(root) == [(145 + 45 + 45 * 4, 0)]
    assert f"{PICTURES.name}: it was trained for 145 rows of 370" in said
    assert cards[PICTURES.name].trained_for == 370


def test_another_request_builds_anew_and_none_keeps_the_old_one(root: Path) -> None:
    built(root, "exact")
    grow(root, 60, 62)
    cards, _ = built(root)
    assert cards[PICTURES.name].request.kind == "exact"
    assert parts(root) == [(145, 0), (5, 60)]
    cards, said = built(root, "auto")
    assert cards[PICTURES.name].request.kind == "auto"
    assert parts(root) == [(150, 0)]
    assert f"{PICTURES.name}: another one was asked for" in said
