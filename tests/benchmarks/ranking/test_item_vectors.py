import numpy as np
import pytest

from benchmarks.ranking import item_vectors
from benchmarks.ranking.item_vectors import ItemVectors, best_scores
from retrieval.encoders.pooling import unit_rows

RNG = np.random.default_rng(3)
VECTORS = unit_rows(RNG.normal(size=(7, 4)), "test")
MANY = ItemVectors(VECTORS, np.array([0, 1, 4]))  # 1, 3 and 3 vectors
TEXTS = ItemVectors.single(unit_rows(RNG.normal(size=(5, 4)), "test"))
OF = [slice(0, 1), slice(1, 4), slice(4, 7)]


def test_the_best_of_several_vectors_counts() -> None:
    scores = best_scores(TEXTS, MANY)
    expected = [[max(text @ row for row in VECTORS[of]) for of in OF] for text in TEXTS.vectors]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    np.testing.assert_allclose(best_scores(MANY, TEXTS), scores.T, rtol=1e-6)


@pytest.mark.parametrize("held", [1, 6, 12, 1 << 24])
def test_blocks_cover_all_items_once(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_vectors, "BLOCK_SCORES", held)
    parts, expected = [], 0
    for first, block in MANY.blocks(len(TEXTS)):
        assert first == expected
        expected += len(block)
        assert len(block) == 1 or len(block.vectors) * len(TEXTS) <= held
        parts.append(best_scores(block, TEXTS))
    np.testing.assert_allclose(np.concatenate(parts), best_scores(MANY, TEXTS), atol=1e-6)


def test_items_are_selected() -> None:
    few = MANY.select([0, 2])
    np.testing.assert_array_equal(few.vectors, VECTORS[[0, 4, 5, 6]])
    assert few.starts.tolist() == [0, 1]
    assert not few.are_single
    assert TEXTS.select([1, 3]).are_single


def test_means_have_unit_length() -> None:
    means = MANY.means()
    assert means.are_single
    expected = unit_rows(np.stack([VECTORS[of].mean(axis=0) for of in OF]), "test")
    np.testing.assert_allclose(means.vectors, expected, rtol=1e-5)
