import numpy as np
import pytest
import torch

from retrieval.search.reranking.cross_modal import (
    CrossModal,
    CrossModalConfig,
    Detections,
    Detector,
)
from retrieval.training.bundled.reranker_pairs import BACKDROPS, NAMES, Families, draw_families
from retrieval.training.bundled.reranker_stages import (
    FAMILIES_PER_BATCH,
    detection_loss,
    matching_loss,
    train_detection,
    train_matching,
)
from retrieval.training.loop import TrainingRun

SMALL = CrossModalConfig(9, names=(2, 3), backdrops=4, side=32, channels=8, dim=16, heads=2)


def test_other_true_pictures_are_not_mistakes() -> None:
    logits = torch.zeros(2, 3)
    truth = torch.tensor([[True, False, True], [True, False, False]])
    # Judged: ln 2 for each pair. Ranked: one rival for the first caption, two for the second.
    want = np.log(2) + (np.log(2) + np.log(3)) / 2
    assert float(matching_loss(logits, truth)) == pytest.approx(want)
    better = torch.where(truth, 9.0, -9.0)
    assert float(matching_loss(better, truth)) < 1e-3


def test_objects_are_detected_at_their_positions() -> None:
    things = torch.full((2, 3, 4), -1.0)
    things[1, 0] = torch.tensor([0.6, 0.3, 1, 2])  # column 2 and row 1 of four
    sight = Detections(torch.zeros(2, 4, 4), torch.zeros(2, 2, 4, 4), torch.zeros(2, 5, 4, 4),
                  torch.zeros(2, 4))  # fmt: skip
    eyes, backdrops = Detector(SMALL), torch.tensor([3, 0])
    # The thing's nine places are up to 1.4 columns and 1.3 rows from it.
    away = [step + part for part in (0.1, 0.3) for step in (-1, 0, 1)]
    missed = [0.5 * d * d if abs(d) < 1 else abs(d) - 0.5 for d in away]
    want = 32 * np.log(2) + np.log([2, 3, 4]).sum()
    even = float(detection_loss(eyes, sight, things, backdrops))
    assert even == pytest.approx(want + np.mean(missed), abs=0.2)
    with torch.no_grad():
        sight.centre.fill_(-20)
        sight.centre[1, 1, 2] = 20
        sight.names[1, [1, 4]] = 20
        sight.backdrop[[0, 1], [3, 0]] = 20
        for row in range(4):
            for column in range(4):
                sight.offset[1, :, row, column] = torch.tensor([1.9 - column, 0.7 - row])
    assert float(detection_loss(eyes, sight, things, backdrops)) < 1e-5


@pytest.fixture(scope="module")
def families() -> Families:
    return draw_families(FAMILIES_PER_BATCH, 0)


def weights(model: CrossModal) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def test_each_stage_changes_its_own_part_and_is_repeatable(families: Families) -> None:
    def tokenize(texts: list[str]) -> torch.Tensor:
        return torch.tensor([[1, 3 + len(text) % 5, 2] for text in texts])

    ends = []
    for _ in range(2):
        torch.manual_seed(0)
        model = CrossModal(CrossModalConfig(9, NAMES, BACKDROPS, channels=8, dim=16, heads=2))
        start = weights(model)
        train_detection(model, families, 0, TrainingRun(1))
        detection = weights(model)
        train_matching(model, tokenize, families, 0, TrainingRun(1))
        ends.append(weights(model))
        assert not model.training
        for name, value in ends[-1].items():
            sees = name.startswith("eyes.")
            assert torch.equal(detection[name], value if sees else start[name]), name
        assert any(not torch.equal(start[name], detection[name]) for name in start)
        assert not torch.equal(start["fits.weight"], ends[-1]["fits.weight"])
    for name, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][name])


def test_a_loss_that_is_not_finite_fails(families: Families) -> None:
    model = CrossModal(CrossModalConfig(9, NAMES, BACKDROPS, channels=8, dim=16, heads=2))
    with torch.no_grad():
        model.eyes.behind.bias.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"the loss is nan after 1 steps; .* below 0\.004"):
        train_detection(model, families, 0, TrainingRun(1))
