"""CLIP models (2103.00020) by open_clip: pictures, video frames and texts in one space."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from open_clip.transform import PreprocessCfg

from retrieval.encoders.batching import Batcher, choose_device, compute_dtype
from retrieval.encoders.hub.repositories import CLIP_CONFIG
from retrieval.encoders.open_clip_checkpoint import (
    Checkpoint,
    find_checkpoint,
    load_model,
    load_tokenizer,
)
from retrieval.encoders.pooling import unit_rows
from retrieval.encoders.tokens import SPECIMEN, clean_texts, tokenizer_digest
from retrieval.encoders.weights import (
    digest_of,
    file_digest,
)
from retrieval.types import AudioWindows, ImageGeometry, Medium


class OpenClipEncoder:
    """Implements retrieval.protocols.Encoder with any model of open_clip's factory."""

    media: tuple[Medium, ...] = (Medium.IMAGE, Medium.VIDEO)
    windows: AudioWindows | None = None

    def __init__(
        self, model: Any, tokenizer: Any, checkpoint: Checkpoint, *, spec: str, device: torch.device
    ) -> None:
        self.spec = spec
        self.slug = checkpoint.slug
        self._model = model.eval().to(
            memory_format=torch.channels_last
        )  # convolutions: half the time
        self._tokenizer = tokenizer
        self._checkpoint = checkpoint
        self._config = open_clip.get_model_config(checkpoint.name)
        self._preprocessing = PreprocessCfg(**model.visual.preprocess_cfg)
        self._device = device
        self._dtype = compute_dtype(device)
        self._batcher = Batcher(device, spec)
        # As torchvision's Normalize makes them, so that results agree to the bit.
        shape = (-1, 1, 1)
        self._mean = torch.tensor(self._preprocessing.mean, device=device).view(shape)
        self._std = torch.tensor(self._preprocessing.std, device=device).view(shape)

    @classmethod
    def load(cls, location: str, *, spec: str, device: str = "auto") -> OpenClipEncoder:
        """Load a model.

        Args:
            location: `NAME/TAG`, `NAME/path/to.safetensors`, or a folder with
                `open_clip_config.json`, `open_clip_model.safetensors` and the tokenizer's files.
            spec: The specification it came from.
            device: `auto`, `cpu` or `cuda`.

        Raises:
            UnknownModelError: open_clip knows no such name or tag.
            WeightsNotAvailableError: Weights or tokenizer are not on this machine.
            WeightsFormatError: They are a pickle, damaged, or of another architecture.
        """
        chosen = choose_device(device)
        checkpoint = find_checkpoint(location, spec=spec)
        tokenizer = load_tokenizer(checkpoint, spec)
        model = load_model(checkpoint, chosen, spec)
        return cls(model, tokenizer, checkpoint, spec=spec, device=chosen)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._config["embed_dim"])

    @property
    def logit_scale(self) -> float:
        """The inverse temperature that the model was trained to; see `Tempered`."""
        return float(self._model.logit_scale.detach().exp())

    @property
    def geometry(self) -> ImageGeometry:
        """The size and cropping that the model's own preprocessing asks for."""
        size, wanted = self._preprocessing.size, self._preprocessing
        height, width = (size, size) if isinstance(size, int) else size
        return ImageGeometry(
            height=height,
            width=width,
            # open_clip reads everything else as bicubic too
            interpolation="bilinear" if wanted.interpolation == "bilinear" else "bicubic",
            resize_mode=wanted.resize_mode,
            fill=wanted.fill_color,
        )

    @property
    def model(self) -> Any:
        """The open_clip model itself, for training."""
        return self._model

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, context length) int64 token ids."""
        tokens: torch.Tensor = self._tokenizer(clean_texts(texts))
        return tokens

    def write_configuration(self, folder: Path) -> None:
        """Write everything but the weights of a folder that `open_clip:FOLDER` loads."""
        model = dict(self._config) | ({"quick_gelu": True} if self._checkpoint.quick_gelu else {})
        config = {"model_cfg": model, "preprocess_cfg": asdict(self._preprocessing)}
        (folder / CLIP_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        wrapped = getattr(self._tokenizer, "tokenizer", None)  # that of transformers, if one is
        if wrapped is not None:
            wrapped.save_pretrained(folder)

    @cached_property
    def digest(self) -> str:
        """sha256 over weights, configuration, preprocessing and tokenizer."""
        wrapped = getattr(self._tokenizer, "tokenizer", None)  # that of transformers, if one is
        vocabulary = self._tokenizer.encoder if wrapped is None else wrapped.get_vocab()
        preprocessing = self._preprocessing
        return digest_of(
            {
                "weights": file_digest(self._checkpoint.weights),
                "model": self._config,
                "quick_gelu": self._checkpoint.quick_gelu,
                "mean": list(preprocessing.mean),
                "std": list(preprocessing.std),
                "geometry": repr(self.geometry),
                "tokenizer": tokenizer_digest(vocabulary, self._tokenizer([SPECIMEN])[0].tolist()),
            }
        )

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the tokenizer's context length."""
        cleaned = clean_texts(texts)

        @torch.inference_mode()
        def encode(part: slice) -> torch.Tensor:
            tokens = self._tokenizer(cleaned[part]).to(self._device)
            features: torch.Tensor = self._model.encode_text(tokens)
            return features

        return unit_rows(self._batcher.run(len(cleaned), self.dim, encode), f"{self.spec}: text")

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed (n, height, width, 3) uint8 RGB pictures or frames of `geometry`'s size.

        Raises:
            InvalidVectorError: The model answered with NaN, infinity or nothing.
            ValueError: The pictures have another size or type.
        """
        wanted = (self.geometry.height, self.geometry.width, 3)
        if pixels.shape[1:] != wanted or pixels.dtype != np.uint8:
            raise ValueError(f"{self.spec} reads uint8 {wanted}, got {pixels.dtype} {pixels.shape}")

        @torch.inference_mode()
        def encode(part: slice) -> torch.Tensor:
            features: torch.Tensor = self._model.encode_image(
                self.prepare(pixels[part]).to(self._dtype)
            )
            return features

        return unit_rows(self._batcher.run(len(pixels), self.dim, encode), f"{self.spec}: picture")

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Refuse: a CLIP hears nothing."""
        raise ValueError(f"{self.spec} embeds no sound")

    def prepare(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """Scale and normalise cropped pictures exactly as open_clip's transform does.

        Args:
            pixels: (n, height, width, 3) uint8.

        Returns:
            (n, 3, height, width) float32, on the model's device.
        """
        batch = torch.from_numpy(np.require(pixels, requirements=("C", "W")))
        scaled = batch.to(self._device).permute(0, 3, 1, 2)
        scaled = scaled.to(torch.float32, memory_format=torch.contiguous_format)
        return scaled.div_(255).sub_(self._mean).div_(self._std)
