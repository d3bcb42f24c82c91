from pathlib import Path

import numpy as np
import pytest

from retrieval.collection import Collection
from retrieval.demo.look_alikes import LOOK_ALIKES, sample_look_alikes, unambiguous_events
from retrieval.demo.scenes import Motion
from retrieval.demo.videos import FRAMES_PER_SECOND, Event, Video, sample_video, write_video
from retrieval.embedding.options import EmbedOptions
from retrieval.encoders.catalogue import load_encoder
from retrieval.protocols import Encoder
from retrieval.training.bundled import demo_moments
from retrieval.training.bundled.demo_moments import _draw_pictures, draw_moments
from retrieval.training.moments.data import MomentData


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("tiny-image", device="cpu")


@pytest.fixture(scope="module")
def data(encoder: Encoder) -> MomentData:
    return draw(encoder, 3)


def draw(encoder: Encoder, seed: int) -> MomentData:
    """Four families of events in four videos."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_moments, "_FAMILIES_PER_JOB", 4)
        return draw_moments(4, 4, encoder, seed=seed)


def test_drawn_frames_equal_stored_ones(encoder: Encoder, tmp_path: Path) -> None:
    drawn = sample_video(np.random.default_rng([1, 42]), seconds=(20.0, 24.0))
    # Without sound, which takes most of the time to write.
    video = Video(
        tuple(
            Event(e.start_seconds, e.end_seconds, e.scene, e.motion, None, e.caption)
            for e in drawn.events
        )
    )
    write_video(video, tmp_path / "video.mp4")
    collection = Collection(tmp_path / "c", device="cpu")
    collection.add(
        tmp_path / "video.mp4", options=EmbedOptions(models=("tiny-image",), device="cpu")
    )
    frames = collection.snapshot.item_frames(collection.snapshot.spaces[0].name, 0)
    assert frames is not None
    assert encoder.geometry is not None
    step = FRAMES_PER_SECOND // 2  # Collections sample two frames per second.
    pictures = []
    for event in video.events:
        first, end = (
            round(seconds * FRAMES_PER_SECOND)
            for seconds in (event.start_seconds, event.end_seconds)
        )
        pictures += _draw_pictures(
            event.scene, event.motion, end - first, -first % step, encoder.geometry
        )
    vectors = encoder.encode_images(np.stack(pictures))
    assert len(vectors) == len(frames.vectors)
    assert (vectors * frames.vectors).sum(axis=1).min() > 0.98


@pytest.mark.long
def test_windows_are_the_events_that_the_caption_describes(
    data: MomentData, encoder: Encoder
) -> None:
    assert len(data.videos) == 4
    for video in data.videos:
        assert 20 <= len(video.vectors) <= 128
        assert video.start_seconds[0] == 0
        np.testing.assert_allclose(video.start_seconds[1:], video.end_seconds[:-1])
        lengths = np.linalg.norm(video.vectors.astype(np.float32), axis=1)
        np.testing.assert_allclose(lengths, 1, atol=2e-3)
    for query in data.queries:
        video = data.videos[query.video]
        for start, end in query.windows:
            assert start in video.start_seconds
            assert end in video.end_seconds
            assert end - start >= 3.5
    assert {query.video for query in data.queries} == set(range(4))
    np.testing.assert_allclose(
        data.sentences[0],
        encoder.encode_text([data.queries[0].text])[0],
        atol=3e-3,  # bfloat16
    )


@pytest.mark.long
def test_the_same_seed_draws_the_same(data: MomentData, encoder: Encoder) -> None:
    again = draw(encoder, 3)
    assert again.queries == data.queries
    np.testing.assert_array_equal(again.videos[2].vectors, data.videos[2].vectors)
    assert draw(encoder, 4).queries != data.queries


def test_look_alikes_show_one_scene_and_only_their_motions_differ() -> None:
    for seed in range(20):
        video = sample_look_alikes(np.random.default_rng(seed))
        telling = unambiguous_events(video)
        assert len(telling) == LOOK_ALIKES
        assert len({event.scene for event in telling}) == 1
        assert len({event.motion for event in telling}) == LOOK_ALIKES
        assert all(event.caption.motion is event.motion for event in telling)
        assert Motion.SPINS not in {event.motion for event in telling}
        assert video.events[0].start_seconds == 0
        for before, after in zip(video.events, video.events[1:], strict=False):
            assert before.end_seconds == after.start_seconds
