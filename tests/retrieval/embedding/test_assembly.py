import numpy as np
import pytest
from numpy.typing import NDArray

from indexes.errors import InvalidVectorError
from retrieval.embedding.assembly import Assembler
from retrieval.types import (
    AudioWindows,
    ClipFrames,
    DecodedChunk,
    EmbeddedItem,
    Failure,
    ImageGeometry,
    ItemDecoded,
    MediaInfo,
    Medium,
    Sampling,
    Space,
)


class FirstPixels:
    """A picture's vector is the direction of its first pixel; black has none."""

    spec, slug, dim, digest = "first-pixels", "first-pixels", 3, "0" * 64
    media = (Medium.IMAGE, Medium.VIDEO, Medium.AUDIO)
    geometry, windows = ImageGeometry(2, 2), AudioWindows(4, 1.0, 1.0)

    def __init__(self) -> None:
        self.batches: list[int] = []

    def encode_text(self, texts: list[str]) -> NDArray[np.float32]:
        raise AssertionError("no text here")

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(pixels))
        vectors = pixels[:, 0, 0].astype(np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if (lengths == 0).any():
            raise InvalidVectorError("a black picture")
        return vectors / lengths

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        self.batches.append(len(windows))
        vectors = np.stack([seconds, np.ones_like(seconds), windows[:, 0]], axis=1)
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def assembler(batch_samples: int) -> tuple[Assembler, FirstPixels]:
    encoder = FirstPixels()
    space = Space("s-00000000", encoder.spec, 3, encoder.media, encoder.digest, Sampling(2.0, 1.0))
    return Assembler({space.name: (space, encoder)}, batch_samples=batch_samples), encoder


def pixels(*colours: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.array(colours, np.uint8)[:, None, None, :].repeat(2, 1).repeat(2, 2)


def picture(*colours: tuple[int, int, int]) -> DecodedChunk:
    return DecodedChunk("s-00000000", Medium.IMAGE, pixels(*colours))


def end(uri: str, modality: Medium = Medium.IMAGE, duration: float | None = None) -> ItemDecoded:
    return ItemDecoded(MediaInfo(uri, modality, 1, 2.0, "ab", duration_seconds=duration))


def test_items_are_in_order_for_all_batch_sizes() -> None:
    for batch_samples in (1, 2, 3, 100):
        assembly, _ = assembler(batch_samples)
        results = []
        for number in range(5):
            assembly.add(picture((0, 0, 50 + number)))
            assembly.add(end(f"/{number}"))
            results += assembly.finished()
        assembly.flush()
        results += assembly.finished()
        assert [item.info.uri for item in results] == [f"/{number}" for number in range(5)]
        for item in results:
            np.testing.assert_array_equal(item.segments["s-00000000"].vectors, [[0, 0, 1]])


def test_batches_span_items() -> None:
    assembly, encoder = assembler(4)
    for number in range(8):
        assembly.add(picture((1, 0, 0)))
        assembly.add(end(f"/{number}"))
    assert encoder.batches == [4, 4]


def test_a_video_has_means_of_frames_and_its_sound() -> None:
    assembly, _ = assembler(3)
    times = np.array([0.0, 0.5, 1.0])
    frames = pixels((9, 0, 0), (0, 9, 0), (0, 0, 9))
    assembly.add(DecodedChunk("s-00000000", Medium.VIDEO, frames, times))
    sound = np.full((1, 4), 0.0, np.float32)
    assembly.add(DecodedChunk("s-00000000", Medium.AUDIO, sound, np.array([0.0]), np.array([1.0])))
    assembly.add(end("/v", Medium.VIDEO, 1.5))
    assembly.flush()
    (item,) = assembly.finished()
    assert isinstance(item, EmbeddedItem)
    segments = item.segments["s-00000000"]
    assert segments.media == [Medium.VIDEO, Medium.VIDEO, Medium.AUDIO]
    np.testing.assert_array_equal(segments.start_seconds, [0, 1, 0])
    np.testing.assert_array_equal(segments.end_seconds, [1, 1.5, 1])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        segments.vectors, [[half, half, 0], [0, 0, 1], [half, half, 0]], atol=1e-6
    )
    np.testing.assert_array_equal(item.frames["s-00000000"].seconds, times)
    np.testing.assert_array_equal(item.frames["s-00000000"].vectors, np.eye(3))


def test_fault_28_one_invalid_item_does_not_affect_its_neighbours() -> None:
    assembly, _ = assembler(100)
    for uri, colour in (("/a", (1, 0, 0)), ("/black", (0, 0, 0)), ("/b", (0, 1, 0))):
        assembly.add(picture(colour))
        assembly.add(end(uri))
    assembly.flush()
    first, bad, last = assembly.finished()
    assert isinstance(first, EmbeddedItem)
    assert isinstance(last, EmbeddedItem)
    assert bad == Failure("/black", "encode", "a black picture", 1, 2.0)


def test_an_item_without_samples_has_no_rows() -> None:
    assembly, _ = assembler(4)
    assembly.add(end("/silent", Medium.VIDEO))
    (item,) = assembly.finished()
    assert item.segments["s-00000000"].vectors.shape == (0, 3)


def test_chunks_of_a_failed_file_are_dropped() -> None:
    assembly, encoder = assembler(100)
    failure = Failure("/broken", "decode", "cut short")
    assembly.add(picture((1, 0, 0)))
    assembly.add(failure)
    assembly.flush()
    assert list(assembly.finished()) == [failure]
    assert encoder.batches == []


@pytest.mark.parametrize("waiting", [1, 3])
def test_items_of_a_rare_medium_delay_others_at_most_to_the_limit(
    waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.embedding.assembly.MAX_WAITING_ITEMS", waiting)
    assembly, _ = assembler(1_000)
    results = []
    for number in range(10):
        assembly.add(picture((1, 0, 0)))
        assembly.add(end(f"/{number}"))
        results += assembly.finished()
    assert len(results) >= 10 - waiting - 1


class FirstAndLast(FirstPixels):
    """Reads clips: the direction from a clip's first frame to its last, and how many it got."""

    media = (Medium.IMAGE, Medium.VIDEO)
    clip_frames = ClipFrames(2)

    def encode_clips(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(clips.shape[0] * clips.shape[1])
        ends = clips[:, [0, -1], 0, 0, 0].astype(np.float32)
        rows = np.stack([ends[:, 0], ends[:, 1], np.ones(len(ends), np.float32)], axis=1)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def clip_assembler(batch_samples: int) -> tuple[Assembler, FirstAndLast]:
    encoder = FirstAndLast()
    space = Space("s-00000000", encoder.spec, 3, encoder.media, encoder.digest, Sampling(2.0, 1.0))
    return Assembler({space.name: (space, encoder)}, batch_samples=batch_samples), encoder


def reds(*values: int) -> NDArray[np.uint8]:
    return pixels(*((value, 0, 0) for value in values))


@pytest.mark.parametrize("batch_samples", [1, 4, 100])
def test_clip_encoders_get_clips_across_chunks(batch_samples: int) -> None:
    assembly, encoder = clip_assembler(batch_samples)
    for uri, shift in (("/a", 0), ("/b", 10)):
        times, frames = np.arange(5) / 2, reds(*(shift + number for number in range(5)))
        for part in (slice(0, 3), slice(3, 5)):  # a border of chunks inside the second clip
            assembly.add(DecodedChunk("s-00000000", Medium.VIDEO, frames[part], times[part]))
        assembly.add(end(uri, Medium.VIDEO, 2.25))
    assembly.add(picture((0, 9, 0)))  # clips and pictures of one space do not share a batch
    assembly.add(end("/c"))
    assembly.flush()
    a, b, c = assembly.finished()
    for item, shift in ((a, 0), (b, 10)):
        assert isinstance(item, EmbeddedItem)
        segments = item.segments["s-00000000"]
        np.testing.assert_array_equal(segments.start_seconds, [0, 1, 2])
        np.testing.assert_array_equal(segments.end_seconds, [1, 2, 2.25])
        ends = segments.vectors[:, :2] / segments.vectors[:, 2:]
        np.testing.assert_allclose(ends, np.array([[0, 1], [2, 3], [4, 4]]) + shift, rtol=1e-5)
        assert item.frames == {}  # what it knows is of clips
    assert isinstance(c, EmbeddedItem)
    np.testing.assert_array_equal(c.segments["s-00000000"].vectors, [[0, 1, 0]])
    assert sum(encoder.batches) == 2 * 3 * 2 + 1


def test_clips_of_a_failed_video_are_dropped() -> None:
    assembly, encoder = clip_assembler(100)
    failure = Failure("/broken", "decode", "cut short")
    assembly.add(DecodedChunk("s-00000000", Medium.VIDEO, reds(1, 2, 3), np.arange(3) / 2))
    assembly.add(failure)
    assembly.add(end("/silent", Medium.VIDEO))
    assembly.flush()
    first, second = assembly.finished()
    assert first == failure
    assert isinstance(second, EmbeddedItem)
    assert second.segments["s-00000000"].vectors.shape == (0, 3)
    assert encoder.batches == []
