import numpy as np

from retrieval.evaluation.corpus import corpus_ranks

IOUS = np.array([0.5, 0.7])
INF = np.inf


def test_ranks_by_hand() -> None:
    ranks = corpus_ranks(
        np.array([False, True, False, True, True]),
        np.array([[0.0, 10], [0, 5], [0, 10], [50, 60], [0, 8]]),
        np.array([[0.0, 10]]),
        IOUS,
    )
    # Ranks 1 and 3 are correct spans of another video.
    assert ranks.moment.tolist() == [2, 5]
    assert ranks.moment_in_video.tolist() == [1, 3]
    assert ranks.video == 2


def test_missing_prediction_has_infinite_rank() -> None:
    wrong = corpus_ranks(np.array([False]), np.array([[0.0, 10]]), np.array([[0.0, 10]]), IOUS)
    assert (wrong.moment.tolist(), wrong.moment_in_video.tolist(), wrong.video) == (
        [INF, INF], [INF, INF], INF,
    )  # fmt: skip
    none = corpus_ranks(np.array([], dtype=bool), np.empty((0, 2)), np.array([[0.0, 10]]), IOUS)
    assert none.video == INF


def test_annotators_must_agree() -> None:
    true = np.array([[0.0, 5], [0, 5], [10, 15], [20, 25]])
    spans = np.array([[10.0, 15], [0, 5]])
    both = np.array([True, True])
    assert corpus_ranks(both, spans, true, IOUS).moment.tolist() == [1, 1]
    assert corpus_ranks(both, spans, true, IOUS, annotators=2).moment.tolist() == [2, 2]
    assert corpus_ranks(both, spans, true, IOUS, annotators=3).moment.tolist() == [INF, INF]
