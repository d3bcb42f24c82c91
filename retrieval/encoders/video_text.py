"""Video-text models from a folder: clips of a video, read in time, and texts in one space."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.encoders import configuration
from retrieval.encoders.batching import Batcher, choose_device
from retrieval.encoders.open_clip import OpenClipEncoder
from retrieval.encoders.pooling import unit_rows
from retrieval.encoders.spaces import slug_of
from retrieval.encoders.video_towers import Factorised, VideoText, VideoTextConfig
from retrieval.encoders.weights import digest_of, file_digest, fill, safetensors_of
from retrieval.errors import WeightsFormatError, WeightsNotAvailableError
from retrieval.types import AudioWindows, ClipFrames, ImageGeometry, Medium

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
IMAGES = "images"
"""Subfolder of an image-text model that was trained along."""


class VideoTextEncoder:
    """Implements retrieval.protocols.ClipEncoder with a model that `train video` wrote."""

    media: tuple[Medium, ...] = (Medium.VIDEO,)
    windows: AudioWindows | None = None

    def __init__(
        self, own: VideoText, config: VideoTextConfig, images: OpenClipEncoder, folder: Path, *,
        spec: str, device: torch.device,
    ) -> None:  # fmt: skip
        self.spec = spec
        self.slug = slug_of(spec.rstrip("/").rpartition("/")[2].removeprefix("video-text:"))
        self.images = images
        self._config = config
        self._folder = folder
        self.device = device
        pad = int(images.tokenize([""])[0, -1])
        self._model = Factorised(images.model, own.to(device).eval(), pad)
        self._text_batches = Batcher(device, spec)
        self._clip_batches = Batcher(device, spec)
        self._seen: dict[bytes, NDArray[np.float32]] = {}

    @classmethod
    def load(cls, location: str, *, spec: str, device: str = "auto") -> VideoTextEncoder:
        """Load config.json, model.safetensors, and the image-text model that they stand on.

        Raises:
            WeightsNotAvailableError: The folder, one of its files, or that model is missing.
            WeightsFormatError: The weights are a pickle, damaged, or of another architecture or
                another image-text model.
        """
        folder = Path(location)
        if not (folder / CONFIG).is_file():
            raise WeightsNotAvailableError(
                f"{spec}: {folder / CONFIG} is missing; `retrieval train video --out DIR` writes it"
            )
        weights = safetensors_of(folder, WEIGHTS)
        config = read_config(folder / CONFIG)
        images = load_images(config.images, folder, spec=spec, device=device)
        if images.digest != config.images_digest:
            raise WeightsFormatError(
                f"{spec} stands on {config.images} with digest {config.images_digest[:8]}, which "
                f"is another model now ({images.digest[:8]}); train it anew, or bring that one back"
            )
        own = configuration.build(lambda: VideoText(config), [weights], spec=spec)
        fill(own, weights, spec=spec)
        return cls(own, config, images, folder, spec=spec, device=choose_device(device))

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._config.dim

    @property
    def geometry(self) -> ImageGeometry:
        """As the image-text model wants pictures."""
        return self.images.geometry

    @property
    def clip_frames(self) -> ClipFrames:
        """How the frames of a clip must arrive."""
        return self._config.clip_frames

    @property
    def config(self) -> VideoTextConfig:
        """Its sizes."""
        return self._config

    @property
    def logit_scale(self) -> float:
        """The inverse temperature that the model was trained to; see `Tempered`."""
        return float(self._model.logit_scale.detach().exp())

    @property
    def model(self) -> Factorised:
        """All towers, for training."""
        return self._model

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, context length) int64 token ids."""
        return self.images.tokenize(texts)

    @cached_property
    def digest(self) -> str:
        """sha256 over configuration and weights; the image-text model's digest is among them."""
        return digest_of({name: file_digest(self._folder / name) for name in (CONFIG, WEIGHTS)})

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the tokenizer's context length."""
        tokens = self.tokenize(texts)

        @torch.inference_mode()
        def encode(part: slice) -> torch.Tensor:
            return self._model.embed_text(tokens[part].to(self.device))

        rows = self._text_batches.run(len(tokens), self.dim, encode)
        return unit_rows(rows, f"{self.spec}: text")

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Refuse: one picture is no clip."""
        raise ValueError(f"{self.spec} embeds no single pictures")

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Refuse: it reads pictures only."""
        raise ValueError(f"{self.spec} embeds no sound")

    def encode_clips(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed (n, frames, height, width, 3) uint8 RGB clips, each with its frames in order.

        Raises:
            InvalidVectorError: The model answered with NaN, infinity or nothing.
            ValueError: The clips have another shape or type.
        """
        wanted = (self.clip_frames.frames, self.geometry.height, self.geometry.width, 3)
        if clips.shape[1:] != wanted or clips.dtype != np.uint8:
            raise ValueError(f"{self.spec} reads uint8 {wanted}, got {clips.dtype} {clips.shape}")
        if not len(clips):
            return np.empty((0, self.dim), np.float32)
        vectors = torch.from_numpy(self._frame_vectors(clips))

        @torch.inference_mode()
        def encode(part: slice) -> torch.Tensor:
            video: torch.Tensor = self._model.own.video(vectors[part].to(self.device))
            return video

        rows = self._clip_batches.run(len(clips), self.dim, encode)
        return unit_rows(rows, f"{self.spec}: clip")

    def _frame_vectors(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, frames, dim) of the image tower.

        Neighbouring clips share most of their frames as context: each is embedded once, and those
        of the call before are kept for the clips that follow.
        """
        keys = [[frame.tobytes() for frame in clip] for clip in clips]
        frames = {
            key: frame
            for row, clip in zip(keys, clips, strict=True)
            for key, frame in zip(row, clip, strict=True)
        }
        new = {key: frame for key, frame in frames.items() if key not in self._seen}
        if new:
            vectors = self.images.encode_images(np.stack(list(new.values())))
            self._seen |= dict(zip(new, vectors, strict=True))
        self._seen = {key: self._seen[key] for key in frames}
        return np.stack([[self._seen[key] for key in row] for row in keys])


def load_images(images: str, folder: Path, *, spec: str, device: str) -> OpenClipEncoder:
    """The image-text model under a video-text model.

    Args:
        images: As a configuration names it.
        folder: Of that configuration.
        spec: What the user asked for.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        WeightsFormatError: It is no model of open_clip.
    """
    from retrieval.encoders.catalogue import load_encoder

    beside = folder / images
    encoder: Any = load_encoder(
        f"open_clip:{beside}" if images == IMAGES else images, device=device
    )
    if not isinstance(encoder, OpenClipEncoder):
        raise WeightsFormatError(
            f"{spec}: a video-text model stands on an image-text model of open_clip, "
            f"and {encoder.spec} is none"
        )
    return encoder


def read_config(path: Path) -> VideoTextConfig:
    """Parse config.json.

    Raises:
        WeightsFormatError: Unknown or missing keys, wrong types, or no JSON.
    """
    return configuration.read_config(VideoTextConfig, path, "is not a video-text configuration")


def write_config(config: VideoTextConfig, folder: Path) -> None:
    """Write config.json as `read_config` reads it."""
    text = json.dumps(asdict(config), indent=2) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")
