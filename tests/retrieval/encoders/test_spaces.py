from dataclasses import dataclass, replace

import pytest

from retrieval.encoders.spaces import check_encoder, decode_plan, make_slug, make_space
from retrieval.errors import CollapsedEncoderError, ModelError, SpaceMismatchError
from retrieval.types import AudioWindows, ClipFrames, Medium, Sampling
from support.toy_encoder import ToyEncoder

SAMPLING = Sampling()


def space_of(
    encoder: ToyEncoder, sampling: Sampling = SAMPLING, windows: AudioWindows | None = None
):
    return make_space(encoder, sampling=sampling, windows=windows)


def test_fields_of_a_space() -> None:
    space = space_of(ToyEncoder())
    assert space.name == f"toy-{space.digest[:8]}"
    assert (space.encoder, space.dim, space.media) == (
        "toy:toy",
        32,
        (Medium.IMAGE, Medium.VIDEO),
    )
    assert len(space.digest) == 64
    assert space.windows is None
    assert space_of(ToyEncoder()) == space


def test_the_digest_covers_all_settings_that_affect_vectors() -> None:
    video, music = ToyEncoder(), ToyEncoder.music()
    own = AudioWindows(8000, 2.0, 2.0)
    digests = [
        space_of(video).digest,
        space_of(ToyEncoder(dim=64)).digest,
        space_of(video, Sampling(1.0, 2.0)).digest,
        space_of(video, Sampling(2.0, 4.0)).digest,
        space_of(music).digest,
        space_of(music, windows=replace(own, hop_seconds=1.0)).digest,
    ]
    assert len(set(digests)) == len(digests)
    assert space_of(music, windows=own).digest == space_of(music).digest
    # Video sampling does not affect audio digests.
    assert space_of(music, Sampling(1.0, 8.0)).digest == space_of(music).digest


def test_the_digest_covers_how_clips_are_read() -> None:
    @dataclass(frozen=True)
    class Clips(ToyEncoder):
        clip_frames: ClipFrames | None = None

        def encode_clips(self, clips):
            return self.encode_images(clips[:, 0])

    wanted = (ClipFrames(4), ClipFrames(8), ClipFrames(4, context_seconds=1.0))
    digests = {space_of(Clips(clip_frames=frames)).digest for frames in wanted}
    assert len(digests | {space_of(ToyEncoder()).digest}) == 4


@pytest.mark.parametrize(
    ("windows", "complaint"),
    [
        (AudioWindows(16_000, 2.0, 2.0), "reads 8000 Hz, got windows of 16000 Hz"),
        (AudioWindows(8_000, 20.0, 20.0), "at most 2 s at a time, got windows of 20 s"),
        (AudioWindows(8_000, 2.0, 0.0), "every 0 s"),
    ],
)
def test_unsupported_windows_fail(windows: AudioWindows, complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint):
        space_of(ToyEncoder.music(), windows=windows)


def test_a_collapsed_encoder_gets_no_space() -> None:
    @dataclass(frozen=True)
    class Collapsed(ToyEncoder):
        def encode_text(self, texts):
            return super().encode_text(["the same"] * len(texts))

    with pytest.raises(CollapsedEncoderError, match="toy:toy"):
        space_of(Collapsed())


def test_space_of_another_encoder_or_dimension_fails() -> None:
    space = space_of(ToyEncoder())
    check_encoder(space, ToyEncoder())
    with pytest.raises(
        SpaceMismatchError, match=f"{space.name}.*toy:toy.*64-d, digest [0-9a-f]{{8}}"
    ):
        check_encoder(space, ToyEncoder(dim=64))
    with pytest.raises(SpaceMismatchError, match=f"{space.name} was made by toy:toy.*toy:other is"):
        check_encoder(space, ToyEncoder(name="other"))


def test_decode_plan_lists_the_inputs_of_each_space() -> None:
    clip, photo, music = ToyEncoder(), ToyEncoder((Medium.IMAGE,), name="photo"), ToyEncoder.music()
    spaces = [space_of(encoder, Sampling(1.0, 4.0)) for encoder in (clip, photo, music)]
    plan = decode_plan(list(zip(spaces, (clip, photo, music), strict=True)), sound_of_videos=False)
    of_clip, of_photo, of_music = (space.name for space in spaces)
    assert plan.images == {of_clip: clip.geometry, of_photo: photo.geometry}
    assert plan.frames == {of_clip: clip.geometry}
    assert plan.audio == {of_music: AudioWindows(8000, 2.0, 2.0)}
    assert plan.sampling == Sampling(1.0, 4.0)
    assert not plan.sound_of_videos


def test_spaces_that_sample_videos_differently_fail() -> None:
    one, other = ToyEncoder(), ToyEncoder(name="other")
    pairs = [(space_of(one), one), (space_of(other, Sampling(1.0, 2.0)), other)]
    with pytest.raises(ModelError, match="samples videos with"):
        decode_plan(pairs, sound_of_videos=True)


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("ViT-B-32-SigLIP2-256/webli", "vit-b-32-siglip2-256-webli"),
        ("../__x__ é", "x"),
        ("…", "model"),
        ("a" * 99, "a" * 40),
    ],
)
def test_slugs_are_valid_folder_names(text: str, slug: str) -> None:
    assert make_slug(text) == slug
