import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from retrieval.training.history import POINTS, TrainingHistory, ValidationScore, draw_history, join

SVG = "{http://www.w3.org/2000/svg}"


def of_shares(step: int, *shares: float) -> ValidationScore:
    return ValidationScore(step, dict(zip(("R@1", "R@5", "R@10"), shares, strict=False)), 50)


def lines(history: TrainingHistory) -> dict[str, list[tuple[float, float]]]:
    root = ElementTree.fromstring(draw_history(history))
    return {
        line.attrib["class"]: [
            (float(x), float(y))
            for x, y in (point.split(",") for point in line.attrib["points"].split())
        ]
        for line in root.iter(f"{SVG}polyline")
    }


def test_the_picture_shows_losses_and_scores() -> None:
    history = TrainingHistory(
        [4.0, 2.0, 1.0, 0.0],
        [of_shares(0, 0.0, 0.2, 0.4), of_shares(4, 0.5, 0.75, 1.0)],
    )
    drawn = lines(history)
    assert set(drawn) == {"loss", "first", "second", "third"}
    # 640 × 300 with margins of 48, 48, 28 and 24: step 4 is at x = 592, a full share at y = 28.
    assert drawn["loss"] == [(184.0, 28.0), (320.0, 152.0), (456.0, 214.0), (592.0, 276.0)]
    assert drawn["first"] == [(48.0, 276.0), (592.0, 152.0)]
    assert drawn["third"][-1] == (592.0, 28.0)
    assert "R@1 50%" in draw_history(history)


def test_long_trainings_are_thinned_to_means() -> None:
    drawn = lines(TrainingHistory([1.0, 3.0] * 5_000))
    assert len(drawn["loss"]) <= POINTS
    assert len({y for _, y in drawn["loss"]}) == 1


@pytest.mark.parametrize("losses", [[], [0.0]])
def test_hardly_any_history_is_drawn(losses: list[float]) -> None:
    assert "loss" in lines(TrainingHistory(losses))


def test_scores_in_words() -> None:
    ranks = np.array([1, 2, 6, 9])
    score = ValidationScore.of_ranks(10, ranks, 1_234)
    assert str(score) == "R@1 25.0%, R@5 50.0%, R@10 100.0% in 1,234"


def test_the_parts_of_a_training_are_joined_at_their_steps() -> None:
    parts = [
        TrainingHistory([3.0, 2.0], [of_shares(0, 0.1), of_shares(2, 0.2)], 1.5),
        TrainingHistory([1.0], [of_shares(1, 0.3)], 0.5),
    ]
    whole = TrainingHistory(
        [3.0, 2.0, 1.0], [of_shares(0, 0.1), of_shares(2, 0.2), of_shares(3, 0.3)], 2.0
    )
    assert join(parts) == whole
    assert TrainingHistory.from_json(json.loads(json.dumps(whole.to_json()))) == whole
