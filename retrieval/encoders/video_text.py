"""Video-text models from a folder: clips, read in temporal order, and texts in one space."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.encoders import configuration
from retrieval.encoders.batching import Batcher, choose_device
from retrieval.encoders.inputs import NoAudio, NoImages, check_pixels
from retrieval.encoders.spaces import make_slug
from retrieval.encoders.text_first import MAX_TEXTS, TextFirstEncoder
from retrieval.encoders.video_towers import VideoTextConfig, VideoTextModel, VideoTextTowers
from retrieval.encoders.weights import MODEL_WEIGHTS as WEIGHTS
from retrieval.encoders.weights import file_digest, find_safetensors, json_digest, load_weights
from retrieval.errors import WeightsFormatError, WeightsNotAvailableError
from retrieval.files.writing import write_text
from retrieval.protocols import Encoder
from retrieval.types import AudioWindows, ClipFrames, ImageGeometry, Medium

if TYPE_CHECKING:  # Importing open_clip takes a second, and texts may not need it.
    from retrieval.encoders.open_clip import OpenClipEncoder

CONFIG = "config.json"
IMAGES = "images"
"""Subfolder of an image-text model that was trained together with the towers."""

__all__ = ["IMAGES", "WEIGHTS", "VideoTextEncoder", "load_image_encoder", "read_config",
           "write_config"]  # fmt: skip


class VideoTextEncoder(NoImages, NoAudio):
    """A ClipEncoder with a video-text model that `retrieval.training` wrote."""

    media: tuple[Medium, ...] = (Medium.VIDEO,)
    windows: AudioWindows | None = None

    def __init__(
        self,
        towers: VideoTextTowers,
        config: VideoTextConfig,
        images: OpenClipEncoder | TextFirstEncoder,
        folder: Path,
        *,
        spec: str,
        device: torch.device,
    ) -> None:
        self.spec = spec
        self.slug = make_slug(spec.rstrip("/").rpartition("/")[2].removeprefix("video-text:"))
        self._images = images
        self._config = config
        self._folder = folder
        self.device = device
        self._towers = towers.to(device).eval()
        self._text_batches = Batcher(device, spec)
        self._clip_batches = Batcher(device, spec)
        self._frame_cache: dict[bytes, NDArray[np.float32]] = {}

    @classmethod
    def load(
        cls, location: str, *, spec: str, device: str = "auto", text_first: bool = False
    ) -> VideoTextEncoder:
        """Load config.json, model.safetensors, and the image-text model that they name.

        Args:
            location: The folder.
            spec: Specification of the model.
            device: `auto`, `cpu` or `cuda`.
            text_first: See `load_encoder`; concerns the image-text model.

        Raises:
            WeightsNotAvailableError: The folder, one of its files, or that model is missing.
            WeightsFormatError: The weights are a pickle, damaged, or of another architecture, or
                the image-text model is not the one of training.
        """
        folder = Path(location)
        if not (folder / CONFIG).is_file():
            raise WeightsNotAvailableError(
                f"{spec}: {folder / CONFIG} is missing; expected the folder of a trained "
                "video-text model"
            )
        weights = find_safetensors(folder, WEIGHTS)
        config = read_config(folder / CONFIG)
        images = load_image_encoder(
            config.images, folder, spec=spec, device=device, text_first=text_first
        )
        if images.digest != config.images_digest:
            raise WeightsFormatError(
                f"{spec} needs {config.images} with digest {config.images_digest[:8]}, found "
                f"digest {images.digest[:8]}; restore that model, or train the video-text model "
                "again"
            )
        towers = configuration.build_model(lambda: VideoTextTowers(config), [weights], spec=spec)
        load_weights(towers, weights, spec=spec)
        return cls(towers, config, images, folder, spec=spec, device=choose_device(device))

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._config.dim

    @property
    def geometry(self) -> ImageGeometry:
        """Picture size and cropping of the image-text model."""
        return self._images.geometry

    @property
    def clip_frames(self) -> ClipFrames:
        """How the model reads clips."""
        return self._config.clip_frames

    @property
    def config(self) -> VideoTextConfig:
        """Sizes of the model."""
        return self._config

    @property
    def logit_scale(self) -> float:
        """Inverse temperature of training; see `Tempered`."""
        return float(self._towers.logit_scale.detach().exp())

    @property
    def images(self) -> OpenClipEncoder:
        """The complete image-text model."""
        images = self._images
        if isinstance(images, TextFirstEncoder):
            return cast("OpenClipEncoder", images.complete)
        return images

    @cached_property
    def model(self) -> VideoTextModel:
        """All towers, for training."""
        pad = int(self.tokenize([""])[0, -1])
        return VideoTextModel(self.images.model, self._towers, pad)

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """Tokenize texts as (n, context length) int64 ids."""
        return self.images.tokenize(texts)

    @cached_property
    def digest(self) -> str:
        """sha256 of weights and configuration, which contains the image-text model's digest."""
        return json_digest({name: file_digest(self._folder / name) for name in (CONFIG, WEIGHTS)})

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the tokenizer's context length."""
        images = self._images
        if isinstance(images, TextFirstEncoder) and len(texts) <= MAX_TEXTS:
            words = [images.word_states(text) for text in texts]

            def encode(part: slice) -> torch.Tensor:
                rows = [[torch.from_numpy(each)[None] for each in states] for states in words[part]]
                return torch.cat([self._towers.text(*row) for row in rows])
        else:
            tokens = self.tokenize(texts)

            def encode(part: slice) -> torch.Tensor:
                return self.model.embed_text(tokens[part].to(self.device))

        return self._text_batches.embed(len(texts), self.dim, encode, "text")

    def encode_clips(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed (n, frames, height, width, 3) uint8 RGB clips with their frames in order.

        Raises:
            InvalidVectorError: An output is not finite or has length zero.
            ValueError: The clips have another shape or type.
        """
        shape = (self.clip_frames.frames, self.geometry.height, self.geometry.width, 3)
        check_pixels(clips, shape, self.spec)
        if not len(clips):
            return np.empty((0, self.dim), np.float32)
        vectors = torch.from_numpy(self._frame_vectors(clips))

        def encode(part: slice) -> torch.Tensor:
            frames: torch.Tensor = self._towers.video(vectors[part].to(self.device))
            return frames

        return self._clip_batches.embed(len(clips), self.dim, encode, "clip")

    def _frame_vectors(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed the frames of clips by the image tower, as (n, frames, dim).

        Neighbouring clips share most of their frames as context. Each frame is embedded once, and
        the vectors of one call are cached for the next.
        """
        keys = [[frame.tobytes() for frame in clip] for clip in clips]
        frames = {
            key: frame
            for row, clip in zip(keys, clips, strict=True)
            for key, frame in zip(row, clip, strict=True)
        }
        new = {key: frame for key, frame in frames.items() if key not in self._frame_cache}
        if new:
            vectors = self.images.encode_images(np.stack(list(new.values())))
            self._frame_cache |= dict(zip(new, vectors, strict=True))
        self._frame_cache = {key: self._frame_cache[key] for key in frames}
        return np.stack([[self._frame_cache[key] for key in row] for row in keys])


def load_image_encoder(
    images: str, folder: Path, *, spec: str, device: str, text_first: bool = False
) -> OpenClipEncoder | TextFirstEncoder:
    """Load the image-text model of a video-text model.

    Args:
        images: Its specification, or `IMAGES` for the subfolder.
        folder: Folder of the video-text model.
        spec: Specification of the video-text model, for messages.
        device: `auto`, `cpu` or `cuda`.
        text_first: See `load_encoder`.

    Raises:
        WeightsFormatError: The image-text model is not one of open_clip.
    """
    from retrieval.encoders.catalogue import load_encoder

    images = f"open_clip:{folder / images}" if images == IMAGES else images
    encoder: Encoder = load_encoder(images, device=device, text_first=text_first)
    if isinstance(encoder, TextFirstEncoder):
        return encoder
    from retrieval.encoders.open_clip import OpenClipEncoder

    if not isinstance(encoder, OpenClipEncoder):
        raise WeightsFormatError(
            f"{spec}: a video-text model needs an image-text model of open_clip, got {encoder.spec}"
        )
    return encoder


def read_config(path: Path) -> VideoTextConfig:
    """Parse config.json; errors as `configuration.read_config`."""
    return configuration.read_config(VideoTextConfig, path, "a video-text configuration")


def write_config(config: VideoTextConfig, folder: Path) -> None:
    """Write config.json, readable by `read_config`.

    Raises:
        StorageError: The file cannot be written.
    """
    write_text(folder / CONFIG, json.dumps(asdict(config), indent=2) + "\n")
