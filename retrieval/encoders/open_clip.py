"""CLIP models (2103.00020) by open_clip: pictures, video frames and texts in one space."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from open_clip.transform import PreprocessCfg
from torch.overrides import TorchFunctionMode

from retrieval.encoders.batching import Batcher, choose_device, compute_dtype
from retrieval.encoders.hub import cached_file, not_in_cache
from retrieval.encoders.pooling import unit_rows
from retrieval.encoders.spaces import slug_of
from retrieval.encoders.tokens import SPECIMEN, clean_texts, tokenizer_digest
from retrieval.encoders.weights import (
    check_safetensors,
    digest_of,
    file_digest,
    list_mismatches,
    safetensors_of,
)
from retrieval.errors import UnknownModelError, WeightsFormatError, WeightsNotAvailableError
from retrieval.types import AudioWindows, ImageGeometry, Medium

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
PICKLE = "open_clip_pytorch_model.bin"

PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a model comes from, before anything is built.

    Attributes:
        name: What open_clip's factory is asked for: an architecture or `local-dir:FOLDER`.
        weights: A checked safetensors file.
        slug: Readable name.
        preprocessing: What the published weights add to the architecture's preprocessing.
        quick_gelu: The weights were trained with the approximation of GELU.
    """

    name: str
    weights: Path
    slug: str
    preprocessing: dict[str, Any] = field(default_factory=dict)
    quick_gelu: bool = False


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
        tokenizer = _load_tokenizer(checkpoint, spec)
        model = _load_model(checkpoint, chosen, spec)
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
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
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


# ---------------------------------------------------------------- finding


def find_checkpoint(location: str, *, spec: str) -> Checkpoint:
    """Resolve `NAME/TAG`, `NAME/path/to.safetensors` or a folder to a checked file of weights."""
    folder = Path(location).expanduser()
    if folder.is_dir():
        return _in_folder(folder, spec)
    name, _, rest = location.partition("/")
    names = open_clip.list_models()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=3) or ["ViT-B-32"]
        raise UnknownModelError(
            f"{spec}: open_clip has no model {name!r}, and {location!r} is no folder with "
            f"{CONFIG}; close names: {', '.join(close)}"
        )
    tags = open_clip.list_pretrained_tags_by_model(name)
    if rest.lower().replace("-", "_") in tags:
        return _published(name, rest, spec)
    path = Path(rest).expanduser()
    if not path.suffix and not path.exists():
        raise UnknownModelError(
            f"{spec}: {name} has no weights {rest!r}; "
            f"it needs a path to a .safetensors file, or one of: {', '.join(tags) or 'no tags'}"
        )
    check_safetensors(path)
    stem = slug_of(path.stem)
    slug = stem if stem.startswith(slug_of(name)) else slug_of(f"{name}-{stem}")
    return Checkpoint(name, path, slug)


def _in_folder(folder: Path, spec: str) -> Checkpoint:
    name = f"local-dir:{folder}"
    try:
        config = open_clip.get_model_config(name)
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsFormatError(f"{spec}: no readable {CONFIG} in {folder}: {error}") from error
    if not {"embed_dim", "vision_cfg", "text_cfg"} <= set(config):
        raise WeightsFormatError(f"{spec}: {folder / CONFIG} describes no CLIP model")
    return Checkpoint(name, safetensors_of(folder, WEIGHTS), slug_of(folder.name))


def published_files(name: str, tag: str) -> tuple[str, str] | None:
    """Repository and file of a tag's weights on the hub; None for local paths and mere pickles."""
    if tag.lower().replace("-", "_") not in open_clip.list_pretrained_tags_by_model(name):
        return None
    published = open_clip.get_pretrained_cfg(name, tag)
    repo, _, filename = str(published.get("hf_hub", "")).rpartition("/")
    # open_clip's own rule: default names of its own for both formats, else only the suffix differs.
    named = filename and filename != PICKLE
    return (repo, f"{Path(filename).stem}.safetensors" if named else WEIGHTS) if repo else None


def text_repositories(name: str) -> list[str]:
    """Repositories of the hub that hold the tokenizer or the text tower's configuration."""
    text = (open_clip.get_model_config(name) or {}).get("text_cfg", {})
    wanted = (text.get("hf_tokenizer_name"), text.get("hf_model_name"))
    return list(dict.fromkeys(repo for repo in wanted if repo))


def _published(name: str, tag: str, spec: str) -> Checkpoint:
    found = published_files(name, tag)
    if found is None:
        raise WeightsFormatError(
            f"{spec}: published as a pickle only, which can run code; choose other weights, or "
            "convert them where you trust them and pass the path to the .safetensors file"
        )
    weights = cached_file(*found, spec=spec)
    check_safetensors(weights)
    published = open_clip.get_pretrained_cfg(name, tag)
    return Checkpoint(
        name=name,
        weights=weights,
        slug=slug_of(f"{name}-{tag}"),
        preprocessing={
            key: published[key]
            for key in ("mean", "std", "interpolation", "resize_mode")
            if key in published
        },
        quick_gelu=bool(published.get("quick_gelu", False)),
    )


# ---------------------------------------------------------------- loading


def _load_tokenizer(checkpoint: Checkpoint, spec: str) -> Any:
    text = open_clip.get_model_config(checkpoint.name).get("text_cfg", {})
    repo = text.get("hf_tokenizer_name")
    if not repo:
        return open_clip.get_tokenizer(checkpoint.name)
    try:
        return open_clip.get_tokenizer(checkpoint.name, local_files_only=True)
    except (OSError, ValueError) as error:
        if checkpoint.name.startswith("local-dir:"):
            raise WeightsNotAvailableError(
                f"{spec}: its folder holds no readable tokenizer (tokenizer.json and "
                "tokenizer_config.json); put them beside the weights"
            ) from error
        raise not_in_cache(spec, repo) from error


def _load_model(checkpoint: Checkpoint, device: torch.device, spec: str) -> Any:
    """Build the architecture and fill it; every tensor must be in the file, in its shape."""
    folder = checkpoint.name.startswith("local-dir:")
    try:
        # Loading is strict, so each would be overwritten: ViT-B-32 takes 0.6 s instead of 3.7 s.
        with _SkipRandomFills():
            return open_clip.create_model(
                checkpoint.name,
                # A folder brings its weights; open_clip looks for the very name found above.
                pretrained=None if folder else str(checkpoint.weights),
                precision=PRECISIONS[compute_dtype(device)],
                device=device,
                force_quick_gelu=checkpoint.quick_gelu,
                force_preprocess_cfg=checkpoint.preprocessing,
                require_pretrained=True,
            )
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise WeightsFormatError(
            f"{spec}: {checkpoint.weights} does not fit {checkpoint.name}: {list_mismatches(error)}"
        ) from error
    except OSError as error:
        raise WeightsNotAvailableError(
            f"{spec}: parts of the model are not on this machine: {list_mismatches(error)}"
        ) from error


RANDOM_FILLS = frozenset({"erfinv_", "normal_", "trunc_normal_", "uniform_"})


class _SkipRandomFills(TorchFunctionMode):
    """Leaves tensors as they are where a module would fill them with random numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in RANDOM_FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
