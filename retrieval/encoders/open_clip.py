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

from retrieval.encoders.batching import Batcher, choose_device, encode_in_parts
from retrieval.encoders.hub.repositories import OPEN_CLIP_CONFIG
from retrieval.encoders.image_tower import (
    MIN_PICTURES,
    ImageTower,
    image_tower,
    reduced_tower,
)
from retrieval.encoders.inputs import NoAudio, check_pixels
from retrieval.encoders.open_clip_checkpoint import (
    OpenClipCheckpoint,
    find_checkpoint,
    load_model,
    load_tokenizer,
)
from retrieval.encoders.tokens import SPECIMEN, clean_texts, tokenizer_digest
from retrieval.encoders.weights import file_digest, json_digest
from retrieval.files.writing import write_text
from retrieval.types import AudioWindows, ImageGeometry, Medium


class OpenClipEncoder(NoAudio):
    """An Encoder with any model of open_clip's factory.

    Attributes:
        checkpoint: The files of the model.
        tokenizer: Tokenizer of open_clip.
    """

    media: tuple[Medium, ...] = (Medium.IMAGE, Medium.VIDEO)
    windows: AudioWindows | None = None

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        checkpoint: OpenClipCheckpoint,
        *,
        spec: str,
        device: torch.device,
    ) -> None:
        self.spec = spec
        self.slug = checkpoint.slug
        # channels_last halves the time of convolutions.
        self._model = model.eval().to(memory_format=torch.channels_last)
        self.tokenizer = tokenizer
        self.checkpoint = checkpoint
        self._config = open_clip.get_model_config(checkpoint.name)
        self._preprocessing = PreprocessCfg(**model.visual.preprocess_cfg)
        self._device = device
        self._batcher = Batcher(device, spec)
        # Shaped as in torchvision's Normalize, so that results are bit-identical.
        shape = (-1, 1, 1)
        self._mean = torch.tensor(self._preprocessing.mean, device=device).view(shape)
        self._std = torch.tensor(self._preprocessing.std, device=device).view(shape)

    @classmethod
    def load(cls, location: str, *, spec: str, device: str = "auto") -> OpenClipEncoder:
        """Load a model.

        Args:
            location: `NAME/TAG`, `NAME/path/to.safetensors`, or a folder with
                `open_clip_config.json`, `open_clip_model.safetensors` and the tokenizer's files.
            spec: Specification of the model.
            device: `auto`, `cpu` or `cuda`.

        Raises:
            UnknownModelError: open_clip has no such name or tag.
            WeightsNotAvailableError: Weights or tokenizer are not on this machine.
            WeightsFormatError: They are a pickle, damaged, or of another architecture.
        """
        torch_device = choose_device(device)
        checkpoint = find_checkpoint(location, spec=spec)
        tokenizer = load_tokenizer(checkpoint, spec)
        model = load_model(checkpoint, torch_device, spec)
        return cls(model, tokenizer, checkpoint, spec=spec, device=torch_device)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._config["embed_dim"])

    @property
    def logit_scale(self) -> float:
        """Inverse temperature of training; see `Tempered`."""
        return float(self._model.logit_scale.detach().exp())

    @property
    def geometry(self) -> ImageGeometry:
        """Size and cropping of the model's own preprocessing."""
        size = self._preprocessing.size
        height, width = (size, size) if isinstance(size, int) else size
        bilinear = self._preprocessing.interpolation == "bilinear"
        return ImageGeometry(
            height=height,
            width=width,
            # open_clip treats all other values as bicubic too.
            interpolation="bilinear" if bilinear else "bicubic",
            resize_mode=self._preprocessing.resize_mode,
            fill=self._preprocessing.fill_color,
        )

    @property
    def model(self) -> Any:
        """The open_clip model, for training."""
        self.__dict__.pop("_reduced_tower", None)  # it may hold a copy of the weights
        return self._model

    @cached_property
    def _exact_tower(self) -> ImageTower:
        return image_tower(self._model.visual)

    @cached_property
    def _reduced_tower(self) -> ImageTower:
        size = self.geometry.height, self.geometry.width
        return reduced_tower(self._model.visual, size, spec=self.spec)

    @property
    def _transformers_tokenizer(self) -> Any:
        """The wrapped tokenizer of transformers; None for open_clip's own."""
        return getattr(self.tokenizer, "tokenizer", None)

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """Tokenize texts as (n, context length) int64 ids."""
        tokens: torch.Tensor = self.tokenizer(clean_texts(texts))
        return tokens

    def write_configuration(self, folder: Path) -> None:
        """Write all files but the weights, such that `open_clip:FOLDER` loads the folder.

        Raises:
            StorageError: The configuration cannot be written.
        """
        model = dict(self._config) | ({"quick_gelu": True} if self.checkpoint.quick_gelu else {})
        config = {"model_cfg": model, "preprocess_cfg": asdict(self._preprocessing)}
        write_text(folder / OPEN_CLIP_CONFIG, json.dumps(config, indent=2) + "\n")
        if self._transformers_tokenizer is not None:
            self._transformers_tokenizer.save_pretrained(folder)

    @cached_property
    def digest(self) -> str:
        """sha256 of weights, configuration, preprocessing and tokenizer."""
        wrapped = self._transformers_tokenizer
        vocabulary = self.tokenizer.encoder if wrapped is None else wrapped.get_vocab()
        return json_digest(
            {
                "weights": file_digest(self.checkpoint.weights),
                "model": self._config,
                "quick_gelu": self.checkpoint.quick_gelu,
                "mean": list(self._preprocessing.mean),
                "std": list(self._preprocessing.std),
                "geometry": repr(self.geometry),
                "tokenizer": tokenizer_digest(vocabulary, self.tokenizer([SPECIMEN])[0].tolist()),
            }
        )

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the tokenizer's context length."""
        cleaned = clean_texts(texts)

        def encode(part: slice) -> torch.Tensor:
            tokens = self.tokenizer(cleaned[part]).to(self._device)
            features: torch.Tensor = self._model.encode_text(tokens)
            return features

        return self._batcher.embed(len(cleaned), self.dim, encode, "text")

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed (n, height, width, 3) uint8 RGB pictures or frames of `geometry`'s size.

        Raises:
            InvalidVectorError: An output is not finite or has length zero.
            ValueError: The pictures have another size or type.
        """
        check_pixels(pixels, (self.geometry.height, self.geometry.width, 3), self.spec)

        tower = self._exact_tower if len(pixels) < MIN_PICTURES else self._reduced_tower

        def features(part: NDArray[np.uint8]) -> torch.Tensor:
            return tower(self.prepare(part))

        def encode(part: slice) -> torch.Tensor:
            if self._device.type == "cpu":
                return encode_in_parts(features, pixels[part])
            return features(pixels[part])

        return self._batcher.embed(len(pixels), self.dim, encode, "picture")

    def prepare(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """Scale and normalize cropped pictures exactly as open_clip's transform does.

        Args:
            pixels: (n, height, width, 3) uint8.

        Returns:
            (n, 3, height, width) float32, on the model's device.
        """
        batch = torch.from_numpy(np.require(pixels, requirements=("C", "W")))
        scaled = batch.to(self._device).permute(0, 3, 1, 2)
        scaled = scaled.to(torch.float32, memory_format=torch.contiguous_format)
        return scaled.div_(255).sub_(self._mean).div_(self._std)
