from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from retrieval.demo.drawing import render_scene
from retrieval.demo.scenes import Motion, is_held_out
from retrieval.demo.videos import FRAMES_PER_SECOND, Video, sample_video, write_video


def video(seed: int = 0, *, unseen: bool = False) -> Video:
    return sample_video(np.random.default_rng(seed), unseen=unseen, seconds=(20.0, 30.0))


def test_events_follow_each_other_on_whole_frames() -> None:
    for seed in range(30):
        made = video(seed)
        assert made.events[0].start_seconds == 0
        assert 20 <= made.duration_seconds <= 30
        for one, other in pairwise(made.events):
            assert one.end_seconds == other.start_seconds
        for event in made.events:
            assert event.end_seconds - event.start_seconds >= 4
            assert (event.start_seconds * FRAMES_PER_SECOND) % 1 == 0
            assert event.caption.describes(event.scene, event.motion)
            assert event in made.matching_events(event.caption)


def test_the_same_seed_makes_the_same_video() -> None:
    assert video(3) == video(3)
    assert video(3) != video(4)


def test_unseen_videos_hold_only_scenes_with_held_out_combinations() -> None:
    for event in video(1, unseen=True).events:
        assert any(is_held_out(thing.colour, thing.shape) for thing in event.scene.objects)


def test_the_file_shows_each_event_at_its_time(tmp_path: Path) -> None:
    made = video(5)
    write_video(made, tmp_path / "v.mp4", size_pixels=64)
    with av.open(str(tmp_path / "v.mp4")) as container:
        frames = [
            (frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)
        ]
    assert len(frames) == round(made.duration_seconds * FRAMES_PER_SECOND)
    for event in made.events:
        inside = [f for t, f in frames if event.start_seconds <= t < event.end_seconds]
        assert len(inside) == round((event.end_seconds - event.start_seconds) * FRAMES_PER_SECOND)
        if event.motion is Motion.STILL:
            want = render_scene(event.scene, 64).astype(float)
            for frame in (inside[0], inside[-1]):
                assert np.abs(frame - want).mean() < 12


def test_the_sound_is_as_long_as_the_picture(tmp_path: Path) -> None:
    made = video(6)
    write_video(made, tmp_path / "v.mp4", size_pixels=64)
    with av.open(str(tmp_path / "v.mp4")) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert abs(samples / 16_000 - made.duration_seconds) < 0.2
