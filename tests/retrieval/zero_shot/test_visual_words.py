import numpy as np
import pytest

from retrieval.zero_shot.visual_words import VisualWords, subsample


def clusters(centres: int, each: int, dim: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors around some axes, and the number of the axis of each."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(centres), each)
    rows = np.eye(dim)[labels] + 0.02 * rng.standard_normal((len(labels), dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


def test_vectors_of_a_cluster_share_a_word_and_others_do_not() -> None:
    vectors, labels = clusters(2, 20)
    words = VisualWords.fit(vectors, branching=2, depth=1).of(vectors)
    by_label = [{word for word, one in zip(words, labels, strict=True) if one == label}
                for label in range(2)]  # fmt: skip
    assert sorted(map(len, by_label)) == [1, 1]
    assert by_label[0] != by_label[1]


def test_large_clusters_are_split_again() -> None:
    vectors, labels = clusters(4, 20)
    words = VisualWords.fit(vectors, branching=2, depth=4).of(vectors)
    assert max(map(len, words)) >= 2
    assert len({word for word, label in zip(words, labels, strict=True) if label == 0}) <= 4
    # Words of different clusters differ at some level.
    first = {words[int(np.argmax(labels == label))] for label in range(4)}
    assert len(first) == 4


def test_the_same_seed_gives_the_same_words() -> None:
    vectors, _ = clusters(6, 20)
    one, other = (VisualWords.fit(vectors, branching=3, depth=2, seed=5) for _ in range(2))
    assert one.of(vectors) == other.of(vectors)


def test_a_small_corpus_has_one_word() -> None:
    vectors, _ = clusters(2, 3)
    assert VisualWords.fit(vectors, branching=12).of(vectors) == [()] * 6
    assert VisualWords.fit(np.empty((0, 16), np.float32)).of(vectors[:1]) == [()]


def test_a_tree_without_branches_fails() -> None:
    with pytest.raises(ValueError, match="branching >= 2"):
        VisualWords.fit(np.eye(3, dtype=np.float32), branching=1)


@pytest.mark.parametrize("sizes", [(5,), (3, 4, 5), (1,) * 12, (40, 2, 40)])
def test_rows_are_subsampled_evenly(sizes: tuple[int, ...]) -> None:
    rows = np.arange(sum(sizes), dtype=np.float16)[:, None]
    blocks = np.split(rows, np.cumsum(sizes)[:-1])
    for limit in (4, 7, 100):
        rows_kept = subsample(blocks, limit)[:, 0].astype(int)
        step = 1
        while -(-len(rows) // step) > limit:
            step *= 2
        assert rows_kept.tolist() == list(range(0, len(rows), step))


def test_subsampling_nothing() -> None:
    assert subsample([]).shape == (0, 0)
