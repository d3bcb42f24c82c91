import numpy as np
import pytest

from benchmarks.speed.gap import CLUSTERS, SEED_ROWS, GapRows

ROWS = 2 * SEED_ROWS + 100


@pytest.fixture(scope="module")
def corpus() -> GapRows:
    return GapRows(ROWS, 64, seed=3)


def test_a_block_is_the_same_wherever_it_is_cut(corpus: GapRows) -> None:
    whole = np.concatenate(list(corpus.blocks(5_000)))
    assert whole.shape == (ROWS, 64)
    assert whole.dtype == np.float16
    np.testing.assert_array_equal(corpus.block(SEED_ROWS - 3, ROWS), whole[SEED_ROWS - 3 :])
    np.testing.assert_array_equal(GapRows(ROWS, 64, seed=3).block(0, 9), whole[:9])
    assert corpus.block(7, 7).shape == (0, 64)
    assert not np.array_equal(GapRows(ROWS, 64, seed=4).block(0, 9), whole[:9])


def test_rows_that_are_not_there_fail(corpus: GapRows) -> None:
    with pytest.raises(ValueError, match=r"rows 0 … 16485 are outside 0 … 16484"):
        corpus.block(0, ROWS + 1)


def test_rows_and_texts_lie_on_cones_apart() -> None:
    corpus = GapRows(20_000, 512)
    rows = corpus.block(0, 20_000).astype(np.float32)
    texts = corpus.texts(200)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    assert 0.5 < (rows[:1_000] @ rows[1_000:2_000].T).mean() < 0.6
    scores = texts @ rows.T
    assert 0.1 < scores.mean() < 0.2
    assert 0.25 < scores.max(axis=1).mean() < 0.35


def test_texts_are_seeded_and_clusters_uneven(corpus: GapRows) -> None:
    np.testing.assert_array_equal(corpus.texts(5, seed=1), corpus.texts(5, seed=1))
    assert not np.array_equal(corpus.texts(5, seed=1), corpus.texts(5, seed=2))
    shares = np.diff(corpus._ends, prepend=0)
    assert len(shares) == CLUSTERS
    assert 0.03 < shares[0] < 0.06
    assert np.median(shares) < 2e-4
