import json
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict

import numpy as np
import pytest

from retrieval.files.documents import parse_json
from retrieval.training.history import (
    MAX_POINTS,
    TrainingHistory,
    ValidationScore,
    join_histories,
    plot_history,
    smooth_losses,
)


def score_of(step: int, *shares: float) -> ValidationScore:
    return ValidationScore(step, dict(zip(("R@1", "R@5", "R@10"), shares, strict=False)), 50)


def texts(history: TrainingHistory) -> list[str]:
    """The labels of the plot."""
    root = ElementTree.fromstring(plot_history(history))
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_plot_names_losses_and_scores() -> None:
    history = TrainingHistory(
        [4.0, 2.0, 1.0, 0.0],
        [score_of(0, 0.0, 0.2, 0.4), score_of(4, 0.5, 0.75, 1.0)],
    )
    labels = texts(history)
    assert {"4 steps", "loss", "R@1 50%", "R@5 75%", "R@10 100%"} <= set(labels)
    assert plot_history(history) == plot_history(history)


def test_losses_of_long_runs_are_averaged() -> None:
    steps, means = smooth_losses([1.0, 3.0] * 5_000 + [7.0])
    assert len(steps) <= MAX_POINTS
    assert set(means[:-1]) == {2.0}
    assert means[-1] == pytest.approx(2.0 + 5.0 / (steps[-1] - steps[-2]))
    assert steps[-1] == 10_001
    assert smooth_losses([4.0, 2.0]) == ([1, 2], [4.0, 2.0])


@pytest.mark.parametrize("losses", [[], [0.0]])
def test_a_short_history_is_plotted(losses: list[float]) -> None:
    assert "loss" in texts(TrainingHistory(losses))


def test_scores_as_text() -> None:
    ranks = np.array([1, 2, 6, 9])
    score = ValidationScore.from_ranks(10, ranks, 1_234)
    assert str(score) == "R@1 25.0%, R@5 50.0%, R@10 100.0% in 1,234"


def test_histories_are_joined_at_their_steps() -> None:
    parts = [
        TrainingHistory([3.0, 2.0], [score_of(0, 0.1), score_of(2, 0.2)], 1.5),
        TrainingHistory([1.0], [score_of(1, 0.3)], 0.5),
    ]
    joined = TrainingHistory(
        [3.0, 2.0, 1.0], [score_of(0, 0.1), score_of(2, 0.2), score_of(3, 0.3)], 2.0
    )
    assert join_histories(parts) == joined
    assert parse_json(TrainingHistory, json.dumps(asdict(joined))) == joined
