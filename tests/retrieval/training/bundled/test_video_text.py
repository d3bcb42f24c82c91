from pathlib import Path

import numpy as np
import pytest

from retrieval.encoders.catalogue import load_encoder
from retrieval.progress import Progress
from retrieval.training.bundled import video_text as video
from retrieval.training.bundled.demo_moments import DrawnEvent, draw_families
from retrieval.training.bundled.video_pairs import BatchGroups, VideoPairs
from retrieval.training.bundled.video_text import train_tiny_video
from retrieval.types import ClipFrames
from support.stopped import assert_ends_the_same

CLIP_FRAMES = ClipFrames(16, 7.0)


@pytest.fixture(scope="module")
def families() -> list[list[DrawnEvent]]:
    encoder = load_encoder("tiny-image", device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retrieval.training.bundled.demo_moments._FAMILIES_PER_JOB", 12)
        return draw_families(12, encoder, seed=1)  # one job, which runs in this process


@pytest.mark.long
def test_a_batch_contains_groups_of_similar_clips(families: list[list[DrawnEvent]]) -> None:
    pairs = VideoPairs(families, 5, CLIP_FRAMES, seed=0)
    clips, captions, groups = pairs.draw_batch(BatchGroups(2, 3, 4), np.random.default_rng(0))
    assert clips.shape == (len(captions), 16, 256)
    np.testing.assert_allclose(np.linalg.norm(clips, axis=2), 1, atol=1e-3)
    sizes = np.bincount(groups)
    assert sizes[:2].tolist() == [1, 1]
    assert set(sizes[2:5]) <= {2, 3}
    assert sizes[5:].tolist() == [2, 2, 2, 2]
    for first, second in zip(captions[-8::2], captions[-7::2], strict=True):
        assert pairs.captions[first] != pairs.captions[second]


@pytest.mark.long
def test_clips_of_two_events_show_both_in_order(families: list[list[DrawnEvent]]) -> None:
    pairs = VideoPairs(families, 5, CLIP_FRAMES, seed=0)
    captioned = pairs._orders[0][0]
    rng = np.random.default_rng(0)
    first, second = (event.vectors.astype(np.float32).mean(axis=0) for event in captioned.events)
    for _ in range(10):
        clip = pairs._draw_clip(captioned, rng).astype(np.float32)
        likelier_first = clip @ first - clip @ second
        middle = int(np.abs(np.arange(16) - 7.5).argmin())
        assert likelier_first[middle - 5 : middle - 3].mean() > likelier_first[-5:-3].mean()


@pytest.mark.slow
def test_a_stopped_training_resumes_and_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(video, "HELD_OUT_BATCHES", 1)

    def train(out: Path, progress: Progress) -> None:
        train_tiny_video(out, steps=4, events=30, orders=6, device="cpu", progress=progress)

    caplog.set_level("INFO", "retrieval.training")
    assert_ends_the_same(train, tmp_path, ("training", 3))
    assert any("resuming after" in line for line in caplog.messages)
    encoder = load_encoder(f"video-text:{tmp_path / 'whole'}", device="cpu")
    rows = encoder.encode_text(["a red circle moving left", "first a star, then a ring"])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert "text → clip" in (tmp_path / "whole" / "README.md").read_text()
