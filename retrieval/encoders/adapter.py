"""Residual adapters on the frozen vectors of another encoder: CLIP-Adapter (2110.04544)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from retrieval.encoders import configuration
from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.pooling import unit_rows
from retrieval.encoders.spaces import make_slug
from retrieval.encoders.weights import file_digest, find_safetensors, json_digest, load_weights
from retrieval.errors import SpaceMismatchError, WeightsFormatError, WeightsNotAvailableError
from retrieval.protocols import Encoder
from retrieval.types import AudioWindows, ImageGeometry, Medium

WEIGHTS = "adapter.safetensors"
CONFIG = "adapter.json"


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """Sizes of an adapter; the fields of adapter.json.

    Attributes:
        base: Specification of the encoder whose vectors are adapted.
        base_digest: Digest of that encoder.
        dim: Length of a vector, before and after.
        hidden: Width of the bottleneck.
        ratio: Share of the adapted vector in the mixture with the original, above 0 and up to 1.
    """

    base: str
    base_digest: str
    dim: int
    hidden: int
    ratio: float

    def __post_init__(self) -> None:
        if not (self.dim > 0 and self.hidden > 0 and 0 < self.ratio <= 1):
            raise ValueError(f"need dim > 0, hidden > 0 and 0 < ratio <= 1, got {self}")


class Adapter(nn.Module):
    """A two-layer bottleneck mixed with its input; a new one is the identity.

    The bottleneck reads standardized rows, because the base's vectors of texts from one field are
    so close together that training would be slow otherwise.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self._ratio = config.ratio
        self.register_buffer("mean", torch.zeros(config.dim))
        self.register_buffer("deviation", torch.ones(config.dim))
        self.down = nn.Linear(config.dim, config.hidden)
        self.up = nn.Linear(config.hidden, config.dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def fit_normalization(self, rows: Tensor) -> None:
        """Set mean and deviation from (n, dim) rows, before training."""
        deviation = rows.std(dim=0, correction=0)
        self.mean.copy_(rows.mean(dim=0))
        # A dimension that hardly varies here must not explode on later rows.
        self.deviation.copy_(deviation.clamp_min(0.1 * float(deviation.mean())).clamp_min(1e-6))

    def forward(self, rows: Tensor) -> Tensor:
        """Adapt (n, dim) unit vectors; the result has the same shape and unit length."""
        adapted = self.up(functional.relu(self.down((rows - self.mean) / self.deviation)))
        return functional.normalize((1 - self._ratio) * rows + self._ratio * adapted, dim=-1)


class AdapterPair(nn.Module):
    """The adapters of media and texts, and the temperature of their contrastive loss."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.media = Adapter(config)
        self.text = Adapter(config)
        self.logit_scale = nn.Parameter(torch.tensor(2.66))  # ln(1 / 0.07), as in CLIP

    def forward(self, media: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Adapt the base's unit vectors of pairs; also return the inverse temperature."""
        return self.media(media), self.text(text), self.logit_scale.exp()


class AdapterEncoder:
    """An Encoder that adapts the vectors of another encoder."""

    def __init__(
        self, base: Encoder, pair: AdapterPair, config: AdapterConfig, folder: Path, *, spec: str
    ) -> None:
        self.spec = spec
        self.slug = make_slug(folder.name)
        self.base = base
        self.pair = pair.eval()
        self.config = config
        self._folder = folder

    @classmethod
    def load(cls, location: str | Path, *, spec: str = "", device: str = "auto") -> AdapterEncoder:
        """Load adapter.json and adapter.safetensors from a folder, and the encoder they name.

        Raises:
            WeightsNotAvailableError: The folder lacks one of them, or the base is unavailable.
            WeightsFormatError: They are damaged, a pickle, or of other sizes.
            SpaceMismatchError: The base is not the encoder of training.
        """
        folder = Path(location)
        spec = spec or f"adapter:{folder}"
        weights = find_safetensors(folder, WEIGHTS)
        config = read_config(folder / CONFIG)
        pair = configuration.build_model(lambda: AdapterPair(config), [weights], spec=spec)
        load_weights(pair, weights, spec=spec, config=CONFIG)
        base = load_encoder(config.base, device=device)
        if (base.digest, base.dim) != (config.base_digest, config.dim):
            raise SpaceMismatchError(
                f"{spec} was trained on {config.base} ({config.dim}-d, digest "
                f"{config.base_digest[:8]}), found {base.dim}-d, digest {base.digest[:8]}; restore "
                "that model's weights, or train the adapter again"
            )
        return cls(base, pair, config, folder, spec=spec)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.config.dim

    @property
    def media(self) -> tuple[Medium, ...]:
        """Media of the base."""
        return self.base.media

    @property
    def geometry(self) -> ImageGeometry | None:
        """Image geometry of the base."""
        return self.base.geometry

    @property
    def windows(self) -> AudioWindows | None:
        """Audio windows of the base."""
        return self.base.windows

    @cached_property
    def digest(self) -> str:
        """sha256 of the base's digest and the adapter's configuration and weights."""
        config = {name: value for name, value in asdict(self.config).items() if name != "base"}
        weights = file_digest(self._folder / WEIGHTS)
        return json_digest({"base": self.base.digest, "adapter": config, "weights": weights})

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the base's context length."""
        return self._adapt(self.pair.text, self.base.encode_text(texts))

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed pictures or frames in the base's geometry."""
        return self._adapt(self.pair.media, self.base.encode_images(pixels))

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Embed windows of the base's format."""
        return self._adapt(self.pair.media, self.base.encode_audio(windows, seconds))

    @torch.inference_mode()
    def _adapt(self, adapter: nn.Module, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return unit_rows(adapter(torch.from_numpy(rows)).numpy(), self.spec)


def read_config(path: Path) -> AdapterConfig:
    """Parse adapter.json.

    Raises:
        WeightsNotAvailableError: The file does not exist.
        WeightsFormatError: It is not JSON, a key is unknown or missing, or a value is impossible.
    """
    if not path.is_file():
        raise WeightsNotAvailableError(
            f"{path} is missing; expected the folder of a trained adapter"
        )
    config = configuration.read_config(AdapterConfig, path, "an adapter configuration")
    if config.base.startswith("adapter:"):
        raise WeightsFormatError(
            f"{path}: its base is an adapter itself; train an adapter on the base of {config.base}"
        )
    return config
