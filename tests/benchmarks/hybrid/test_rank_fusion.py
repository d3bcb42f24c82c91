import pytest

from benchmarks.hybrid.rank_fusion import fuse_moment_ranks, fuse_ranks


def test_items_score_the_sum_of_their_reciprocal_ranks() -> None:
    fused = fuse_ranks([["a", "b", "c"], ["c", "a", "d"]])
    assert [item for item, _ in fused] == ["a", "c", "b", "d"]
    assert [score for _, score in fused] == pytest.approx(
        [1 / 61 + 1 / 62, 1 / 63 + 1 / 61, 1 / 62, 1 / 63]
    )


def test_equal_items_keep_the_order_of_the_first_ranking() -> None:
    assert [item for item, _ in fuse_ranks([["x", "y"], ["y", "x"]])] == ["x", "y"]
    assert [item for item, _ in fuse_ranks([["x"], ["y"]])] == ["x", "y"]
    assert fuse_ranks([[], ["y"]], k=1) == [("y", 0.5)]


def test_moments_of_both_rankings_that_overlap_are_one() -> None:
    vectors = [("v", 0.0, 10.0, 0.9), ("v", 20.0, 30.0, 0.8), ("w", 0.0, 5.0, 0.7)]
    words = [("v", 1.0, 10.0, 3.0), ("x", 0.0, 4.0, 2.0), ("v", 19.0, 31.0, 1.0)]
    fused = fuse_moment_ranks([vectors, words])
    assert [moment[:3] for moment in fused] == [
        ("v", 0.0, 10.0), ("v", 20.0, 30.0), ("x", 0.0, 4.0), ("w", 0.0, 5.0)
    ]  # fmt: skip
    assert [moment[3] for moment in fused] == pytest.approx(
        [2 / 61, 1 / 62 + 1 / 63, 1 / 62, 1 / 63]
    )


def test_the_moment_of_the_better_rank_gives_the_span() -> None:
    vectors = [("v", 0.0, 4.0, 0.9), ("v", 10.0, 20.0, 0.8)]
    assert fuse_moment_ranks([vectors, [("v", 11.0, 20.0, 5.0)]]) == [
        ("v", 11.0, 20.0, pytest.approx(1 / 62 + 1 / 61)),
        ("v", 0.0, 4.0, pytest.approx(1 / 61)),
    ]


def test_a_moment_is_joined_by_one_of_a_ranking_and_not_of_another_video() -> None:
    words = [("v", 0.0, 9.0, 3.0), ("v", 1.0, 10.0, 2.0), ("w", 0.0, 10.0, 1.0)]
    fused = fuse_moment_ranks([[("v", 0.0, 10.0, 0.9)], words])
    assert [(*moment[:3], round(1 / moment[3])) for moment in fused] == [
        ("v", 0.0, 10.0, round(61 / 2)), ("v", 1.0, 10.0, 62), ("w", 0.0, 10.0, 63)
    ]  # fmt: skip
