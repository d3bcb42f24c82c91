from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval.localization.hammer import HammerLocalizer
from retrieval.localization.hammer_model import BEGIN, END, OTHER, Level
from retrieval.progress import Progress
from retrieval.training.moments.batches import IGNORED, BatchShape, moment_batches
from retrieval.training.moments.data import MomentData, label_rows
from retrieval.training.moments.objective import HammerSettings
from retrieval.training.moments.train import (
    HammerDataset,
    HammerOptions,
    score_moments,
    train_hammer,
)
from retrieval.types import Medium, Space, TimedRows
from support.named_moments import DIM, named_events
from support.stopped import assert_ends_the_same

SPACE = Space("toy-12345678", "toy", DIM, (Medium.IMAGE, Medium.VIDEO), "12345678" * 8)
LEVELS = (Level(8, 1), Level(4, 1))


def options(out: Path, steps: int) -> HammerOptions:
    return HammerOptions(
        out, HammerSettings(steps, 3e-3, bf16=False), levels=LEVELS, width=32,
        shape=BatchShape(8, 1, 32), vocabulary=300, device="cpu",
    )  # fmt: skip


def trained(out: Path, data: MomentData, steps: int) -> HammerLocalizer:
    train_hammer(HammerDataset(data, data, SPACE), options(out, steps))
    return HammerLocalizer.load(out, device="cpu")


@pytest.mark.long
def test_it_memorizes_a_few_videos(tmp_path: Path) -> None:
    data = named_events(8)
    score = score_moments(trained(tmp_path, data, 120), data)
    assert score.queries == 24
    assert score.recall_half == 1.0
    assert score.recall_strict == 1.0
    assert score.match is not None
    card = (tmp_path / "README.md").read_text()
    assert f"R1@0.5 {score.recall_half:.1%}" in card
    assert "12345678" in card


@pytest.mark.long
def test_a_stopped_training_resumes_and_ends_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = HammerDataset(named_events(4), named_events(4), SPACE)

    def train(out: Path, progress: Progress) -> None:
        train_hammer(dataset, options(out, 20), progress)

    caplog.set_level("INFO", "retrieval.training")
    assert_ends_the_same(train, tmp_path, ("training", 3), ("training", 20))
    assert "resuming after 18 of 20 steps" in caplog.messages
    assert caplog.messages[-1].startswith("step 20: R1@0.5 ")


def test_checkpoints_keep_the_digest_of_their_queries() -> None:
    digest = "fe1a3daf00a28a44"
    assert named_events(2).queries_digest().startswith(digest)


def test_a_subset_of_the_queries_keeps_their_videos() -> None:
    data = named_events(8)
    some = data.subset(5)
    assert [query.text for query in some.queries] == [query.text for query in data.queries[::5]]
    np.testing.assert_array_equal(some.sentences, data.sentences[::5])
    np.testing.assert_array_equal(some.rivals[1], data.rivals[5])
    assert len(data.subset(100).queries) == len(data.queries)


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


def test_rivals_rank_first_in_the_first_stage() -> None:
    data = named_events(30)
    for number, query in enumerate(data.queries):
        assert query.video not in data.rivals[number]
        best = [(video.vectors @ data.sentences[number]).max() for video in data.videos]
        hardest, softest = data.rivals[number][0], np.argmin(best)
        assert best[hardest] > best[softest] + 0.3


def test_a_batch_holds_each_query_with_its_own_video_first() -> None:
    data = named_events(6)
    tokens = np.full((len(data.queries), 5), 7)
    tokens[:, 3:] = 0
    shape = BatchShape(4, 2, 16, masked_queries=1.0, masked_words=0.5)
    batch = next(moment_batches(data, tokens, 99, shape, seed=0))
    assert batch.rows.shape == (12, 16, DIM)
    assert batch.tokens.shape == (12, 3)
    masked = batch.tokens[::3] == 99
    assert masked.any()
    assert torch.equal(masked, batch.words != IGNORED)
    assert (batch.words[masked] == 7).all()
    for number in range(4):
        marks = batch.labels[number]
        assert (marks == BEGIN).sum() == 1
        assert (marks == END).sum() == 1
        inside = batch.rows[3 * number, int((marks == BEGIN).nonzero()) :][:4]
        assert float((inside @ batch.sentences[3 * number]).mean()) > 0.8


def test_a_loss_that_is_not_finite_fails(tmp_path: Path) -> None:
    data = named_events(4)
    data.sentences[:] = np.nan
    with pytest.raises(ValueError, match="learning rate"):
        trained(tmp_path, data, 1)
