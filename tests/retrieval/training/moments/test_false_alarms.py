"""Row 22: the scores of a Hammer for queries without an answer."""

from pathlib import Path

import numpy as np
import pytest

from retrieval.localization.hammer import HammerLocalizer, match_probabilities
from retrieval.localization.hammer_files import load_hammer
from retrieval.localization.hammer_model import Level
from retrieval.training.moments.batches import BatchShape
from retrieval.training.moments.false_alarms import ALARM_SHARE, calibrate, fit_no_match
from retrieval.training.moments.objective import HammerSettings
from retrieval.training.moments.train import HammerDataset, HammerOptions, train_hammer
from retrieval.types import Medium, MomentQuery, Space
from support.named_moments import DIM, concept, named_events

SPACE = Space("toy-12345678", "toy", DIM, (Medium.IMAGE, Medium.VIDEO), "12345678" * 8)


def test_field_22_no_match_takes_a_share_of_the_probability() -> None:
    chances = match_probabilities(np.array([1.0, 0.0, -np.inf]), 2.0)
    e = np.exp([1.0, 0.0, 2.0])
    np.testing.assert_allclose(chances, [e[0] / e.sum(), e[1] / e.sum(), 0.0])
    # Without it the best of a bad lot takes all.
    assert match_probabilities(np.array([-9.0]), None).tolist() == [1.0]
    assert match_probabilities(np.array([-9.0]), 0.0)[0] == pytest.approx(np.exp(-9), rel=1e-3)
    assert match_probabilities(np.array([-np.inf]), None).tolist() == [0.0]
    assert match_probabilities(np.empty(0), 1.0).shape == (0,)


def test_field_22_the_logit_of_no_match_has_the_highest_likelihood() -> None:
    random = np.random.default_rng(0)
    answered = [np.append(random.normal(4, 1), random.normal(0, 1, 9)) for _ in range(200)]
    unanswered = [random.normal(0, 1, 10) for _ in range(200)]
    found = fit_no_match(answered, unanswered)

    def loss(no_match: float) -> float:
        own = [match_probabilities(row, no_match)[0] for row in answered]
        none = [1 - match_probabilities(row, no_match).sum() for row in unanswered]
        return -float(np.sum(np.log(own)) + np.sum(np.log(none)))

    # Its own video is right of several; what is left for the likelihood is "none" or not.
    grid = np.arange(found - 3, found + 3, 0.05)
    best = min(grid, key=loss)
    assert found == pytest.approx(best, abs=0.06)


@pytest.mark.long
def test_field_22_the_threshold_lets_few_queries_without_a_match_pass(tmp_path: Path) -> None:
    data = named_events(8)
    options = HammerOptions(
        tmp_path, HammerSettings(60, 3e-3, bf16=False), levels=(Level(8, 1), Level(4, 1)),
        width=32, shape=BatchShape(8, 1, 32), vocabulary=300, device="cpu",
    )  # fmt: skip
    report = train_hammer(HammerDataset(data, data, SPACE, unrelated=unrelated()), options)
    localizer = HammerLocalizer.load(tmp_path, device="cpu")
    assert localizer.config.no_match == report.alarms.no_match
    assert localizer.likely_score == report.alarms.likely_score
    assert calibrate(localizer, data, unrelated()) == report.alarms  # It does not depend on itself.
    alarms = []
    for query in unrelated():
        spans = localizer.localize(query, data.videos)
        alarms.append(max(span[2] for found in spans for span in found))
    assert np.mean(np.array(alarms) > localizer.likely_score) <= ALARM_SHARE + 1 / len(alarms)
    assert "of 20 unrelated texts reach it" in (tmp_path / "README.md").read_text()


def unrelated() -> list[MomentQuery]:
    """Names and directions that no video contains."""
    return [MomentQuery(concept(100 + number), f"the thing {number}") for number in range(20)]


def test_field_22_the_bundled_hammer_is_calibrated() -> None:
    from retrieval.localization.choose import BUNDLED

    config = load_hammer(BUNDLED)[1]
    assert config.no_match is not None
    assert 0 < config.likely_score < 1
