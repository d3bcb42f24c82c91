from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval.localization.hammer import HammerLocalizer
from retrieval.localization.hammer_model import BEGIN, END, OTHER, Level
from retrieval.training.moments.batches import PADDED, BatchShape, moment_batches
from retrieval.training.moments.data import MomentData, label_rows
from retrieval.training.moments.steps import HammerSettings
from retrieval.training.moments.train import score_moments, train_hammer
from retrieval.training.run import Telling
from retrieval.types import Medium, Space, TimedRows
from support.named_moments import DIM, named_events
from support.stopped import assert_ends_the_same

SPACE = Space("toy-12345678", "toy", DIM, (Medium.IMAGE, Medium.VIDEO), "12345678" * 8)
LEVELS = (Level(8, 1), Level(4, 1))


def trained(out: Path, data: MomentData, steps: int, rate: float = 3e-3) -> HammerLocalizer:
    train_hammer(
        out, data, data, SPACE, levels=LEVELS, settings=HammerSettings(steps, rate, bf16=False),
        width=32, shape=BatchShape(8, 1, 32), vocabulary=300, device="cpu",
    )  # fmt: skip
    return HammerLocalizer.load(out, device="cpu")


def test_it_learns_a_handful_of_videos_by_heart(tmp_path: Path) -> None:
    data = named_events(8)
    score = score_moments(trained(tmp_path, data, 120), data)
    assert score.queries == 24
    assert score.recall_half == 1.0
    assert score.recall_strict == 1.0
    assert score.match is not None
    card = (tmp_path / "README.md").read_text()
    assert f"R1@0.5 {score.recall_half:.1%}" in card
    assert "12345678" in card


def test_a_stopped_training_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    data = named_events(8)

    def train(out: Path, telling: Telling) -> None:
        train_hammer(
            out, data, data, SPACE, levels=LEVELS, settings=HammerSettings(20, 3e-3, bf16=False),
            width=32, shape=BatchShape(8, 1, 32), vocabulary=300, device="cpu", telling=telling,
        )  # fmt: skip

    said = assert_ends_the_same(train, tmp_path, "train 3", "train 20")
    assert said[0] == "going on after 18 of 20 steps"
    assert said[-1].startswith("step 20: R1@0.5 ")


def test_some_of_the_queries_keep_their_videos() -> None:
    data = named_events(8)
    some = data.some(5)
    assert [one.text for one in some.asked] == [one.text for one in data.asked[::5]]
    np.testing.assert_array_equal(some.sentences, data.sentences[::5])
    np.testing.assert_array_equal(some.rivals[1], data.rivals[5])
    assert len(data.some(100).asked) == len(data.asked)


def test_rows_are_labelled_by_their_middles() -> None:
    edges = np.arange(11) * 0.5
    video = TimedRows(edges[:-1], edges[1:], np.zeros((10, 2), np.float32))
    labels = label_rows(video, [(0.6, 2.1), (3.0, 3.4)])
    want = np.full(10, OTHER)
    want[[1, 6]] = BEGIN  # 0.75 is the first middle in the first window, 3.25 the only one
    want[[3, 7]] = END
    np.testing.assert_array_equal(labels, want)
    np.testing.assert_array_equal(np.flatnonzero(label_rows(video, [(4.9, 5.0)])), [9])
    np.testing.assert_array_equal(np.flatnonzero(label_rows(video, [(2.01, 2.02)])), [4, 5])


def test_rivals_are_the_videos_that_the_first_stage_would_rank_first() -> None:
    data = named_events(30)
    for query, asked in enumerate(data.asked):
        assert asked.video not in data.rivals[query]
        best = [(video.vectors @ data.sentences[query]).max() for video in data.videos]
        hardest, softest = data.rivals[query][0], np.argmin(best)
        assert best[hardest] > best[softest] + 0.3


def test_a_batch_holds_each_query_with_its_own_video_first() -> None:
    data = named_events(6)
    tokens = np.full((len(data.asked), 5), 7)
    tokens[:, 3:] = 0
    shape = BatchShape(4, 2, 16, masked_queries=1.0, masked_words=0.5)
    batch = next(moment_batches(data, tokens, 99, shape, seed=0))
    assert batch.rows.shape == (12, 16, DIM)
    assert batch.tokens.shape == (12, 3)
    hidden = batch.tokens[::3] == 99
    assert hidden.any()
    assert torch.equal(hidden, batch.words != PADDED)
    assert (batch.words[hidden] == 7).all()
    for number in range(4):
        marks = batch.labels[number]
        assert (marks == BEGIN).sum() == 1
        assert (marks == END).sum() == 1
        inside = batch.rows[3 * number, int((marks == BEGIN).nonzero()) :][:4]
        assert float((inside @ batch.sentences[3 * number]).mean()) > 0.8


def test_a_loss_that_is_no_number_fails(tmp_path: Path) -> None:
    data = named_events(4)
    data.sentences[:] = np.nan
    with pytest.raises(ValueError, match="learning rate"):
        trained(tmp_path, data, 1)
