import pytest

from retrieval.evaluation.overlap import jaccard, rank_biased_overlap


def test_jaccard_by_hand() -> None:
    assert jaccard("abc", "bcd") == pytest.approx(2 / 4)
    assert jaccard("ab", "ba") == 1.0
    assert jaccard("a", "b") == 0.0
    assert jaccard("", "") == 1.0
    assert jaccard("a", "") == 0.0


@pytest.mark.parametrize(
    ("one", "other", "want"),
    [
        ("ab", "ab", 1.0),
        # Agreement 1 and 1/2 at depths 1 and 2, the latter extrapolated:
        # 0.1 / 0.9 · (0.9 + 0.81 / 2) + 0.81 / 2
        ("ab", "ac", 0.55),
        # 0 and 1: 0.1 / 0.9 · 0.81 + 0.81
        ("ab", "ba", 0.9),
        ("ab", "cd", 0.0),
        # A prefix agrees with the longer ranking.
        ("a", "ab", 1.0),
        ("", "", 1.0),
        ("a", "", 0.0),
    ],
)
def test_rank_biased_overlap_by_hand(one: str, other: str, want: float) -> None:
    assert rank_biased_overlap(one, other) == pytest.approx(want)
    assert rank_biased_overlap(other, one) == pytest.approx(want)


def test_first_ranks_weigh_most() -> None:
    first = rank_biased_overlap("abcdefghij", "xbcdefghij")
    last = rank_biased_overlap("abcdefghij", "abcdefghix")
    assert first < last < 1


@pytest.mark.parametrize("p", [0.0, 1.0, 1.5])
def test_persistence_out_of_range_fails(p: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        rank_biased_overlap("a", "b", p)
