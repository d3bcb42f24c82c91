"""What decoding processes do for the server: thumbnails, waveforms, file queries, codecs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from retrieval.errors import DamagedMediaError, MediaTooLargeError, UnsupportedMediaError
from retrieval.types import DecodedChunk, DecodeEvent, DecodePlan, Medium

if TYPE_CHECKING:
    from PIL import Image

WEBP_QUALITY = 80
WEBP_METHOD = 0
"""The fastest method; files are a fifth larger than with the default."""

PEAK_RATE_HZ = 50
WAVEFORM_RATE_HZ = 8_000


@dataclass(frozen=True, slots=True)
class ThumbnailTask:
    """Draws a picture of an item.

    Attributes:
        modality: Modality of the item.
        seconds: Time of a video's frame.
        side: Pixels of the longer side; a smaller picture keeps its size.
    """

    modality: Medium
    seconds: float
    side: int

    def run(self, file: BinaryIO) -> bytes:
        """Return the picture as WebP.

        Raises:
            UnsupportedMediaError: A recording without a cover.
        """
        image = self._picture(file)
        scale = min(1.0, self.side / max(image.size))
        size = tuple(max(1, round(length * scale)) for length in image.size)
        if size != image.size:
            image = image.resize((size[0], size[1]), reducing_gap=2.0)
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=WEBP_QUALITY, method=WEBP_METHOD)
        return buffer.getvalue()

    def _picture(self, file: BinaryIO) -> Image.Image:
        if self.modality is Medium.IMAGE:
            from retrieval.media.images.reading import read_image

            return read_image(file, draft_side=self.side)
        if self.modality is Medium.VIDEO:
            from retrieval.media.video.reader import frames_at

            return next(picture for _, picture in frames_at(file, [self.seconds]))
        return _cover(file)


def _cover(file: BinaryIO) -> Image.Image:
    from retrieval.media.containers.reading import open_container

    with open_container(file) as container:
        for stream in container.streams.video:
            for frame in container.decode(stream):
                image: Image.Image = frame.to_image().convert("RGB")  # type: ignore[no-untyped-call]
                return image
    raise UnsupportedMediaError("the recording has no cover")


@dataclass(frozen=True, slots=True)
class WaveformTask:
    """Measures the peaks of a recording, or of the sound of a video.

    Attributes:
        bins: Largest number of peaks.
    """

    bins: int

    def run(self, file: BinaryIO) -> dict[str, object]:
        """Return `seconds` and `peaks`, 0 … 1, for spans of equal length."""
        from retrieval.media.audio.reader import open_sound

        width = WAVEFORM_RATE_HZ // PEAK_RATE_HZ
        rest = np.empty(0, np.float32)
        peaks = []
        samples = 0
        with open_sound(file) as sound:
            for block in sound.mono(WAVEFORM_RATE_HZ):
                samples += len(block)
                joined = np.abs(np.concatenate([rest, block]))
                whole = len(joined) // width * width
                peaks.append(joined[:whole].reshape(-1, width).max(axis=1))
                rest = joined[whole:]
        if len(rest):
            peaks.append(rest.max(keepdims=True))
        fine = np.concatenate([*peaks, np.empty(0, np.float32)])
        count = min(self.bins, len(fine))
        borders = np.linspace(0, len(fine), count, endpoint=False).astype(int)
        coarse = np.maximum.reduceat(fine, borders) if count else fine
        return {
            "seconds": round(samples / WAVEFORM_RATE_HZ, 3),
            "peaks": [round(float(peak), 3) for peak in coarse.clip(0, 1)],
        }


@dataclass(frozen=True, slots=True)
class ProbeTask:
    """Reads the container and the codecs of a recording or video."""

    modality: Medium

    def run(self, file: BinaryIO) -> dict[str, object]:
        """Return names of FFmpeg, and whether browsers play the file as it is."""
        from retrieval.media.containers.reading import open_container
        from retrieval.media.video.animation import is_animation

        file.seek(0)
        if is_animation(file, file.read(32)):
            return {"container": "animation", "video": None, "audio": None, "playable": False}
        file.seek(0)
        with open_container(file) as container:
            video = container.streams.video[0] if self.modality is Medium.VIDEO else None
            audio = next(iter(container.streams.audio), None)
            names = Codecs(
                container.format.name,
                video.codec_context.name if video else None,
                (video.codec_context.pix_fmt if video else None) or "",
                audio.codec_context.name if audio else None,
            )
        return {
            "container": names.container,
            "video": names.video,
            "audio": names.audio,
            "playable": names.are_playable,
        }


@dataclass(frozen=True, slots=True)
class Codecs:
    """FFmpeg's names of a container, its codecs and the pixels of its video."""

    container: str
    video: str | None
    pixels: str
    audio: str | None

    @property
    def are_playable(self) -> bool:
        """Whether Chromium, Firefox and Safari play the file without conversion."""
        if self.video is None:
            return (self.container, self.audio) in PLAYABLE_SOUND
        container = next((name for name in PLAYABLE_VIDEO if name in self.container), "")
        video, audio = PLAYABLE_VIDEO.get(container, ((), ()))
        is_common = self.pixels in ("yuv420p", "yuvj420p") or not self.pixels
        return self.video in video and is_common and (self.audio is None or self.audio in audio)


_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
_WEBM = "matroska,webm"
PLAYABLE_VIDEO = {
    _MP4: (("h264", "av1", "libdav1d", "vp9", "libvpx-vp9"), ("aac", "mp3", "mp3float", "opus")),
    _WEBM: (("vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d"), ("opus", "vorbis")),
}
PLAYABLE_SOUND = {
    ("mp3", "mp3float"), ("mp3", "mp3"), ("flac", "flac"), ("ogg", "vorbis"), ("ogg", "opus"),
    ("ogg", "flac"), ("wav", "pcm_s16le"), ("wav", "pcm_u8"), (_MP4, "aac"), ("aac", "aac"),
    (_WEBM, "opus"), (_WEBM, "vorbis"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class QueryTask:
    """Decodes a file that is a query.

    Attributes:
        plan: The inputs that the encoders need.
        max_seconds: Longer recordings and videos are refused.
    """

    plan: DecodePlan
    max_seconds: float

    def run(self, file: BinaryIO) -> list[DecodeEvent]:
        """Return the events of `decode`.

        Raises:
            MediaTooLargeError: The file is too long.
        """
        from retrieval.media.decode import decode_file
        from retrieval.media.files import OpenFile

        _check_pixels(file)
        size = file.seek(0, io.SEEK_END)
        media = OpenFile("query", "query", file, size, 0.0)
        return list(self._checked(decode_file(media, self.plan)))

    def _checked(self, events: Iterator[DecodeEvent]) -> Iterator[DecodeEvent]:
        for event in events:
            if isinstance(event, DecodedChunk) and event.start_seconds is not None:
                last = float(event.start_seconds.max(initial=0.0))
                if last > self.max_seconds:
                    raise MediaTooLargeError(
                        f"longer than {self.max_seconds:g} seconds; cut out the part to search for"
                    )
            yield event


def _check_pixels(file: BinaryIO) -> None:
    """Refuse an image over the limits, which `decode` reports like other bad files.

    Raises:
        MediaTooLargeError: It has too many pixels or frames.
    """
    from retrieval.media.images.errors import pillow_errors
    from retrieval.media.images.reading import open_image

    file.seek(0)
    with suppress(UnsupportedMediaError, DamagedMediaError), pillow_errors():
        open_image(file)
    file.seek(0)
