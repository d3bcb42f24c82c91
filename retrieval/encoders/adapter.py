"""A light residual adapter on the frozen vectors of another encoder: CLIP-Adapter (2110.04544)."""

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
from retrieval.encoders.spaces import slug_of
from retrieval.encoders.weights import digest_of, file_digest, fill, safetensors_of
from retrieval.errors import SpaceMismatchError, WeightsFormatError, WeightsNotAvailableError
from retrieval.protocols import Encoder
from retrieval.types import AudioWindows, ImageGeometry, Medium

WEIGHTS = "adapter.safetensors"
CONFIG = "adapter.json"


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """What adapter.json holds.

    Attributes:
        base: Specification of the encoder whose vectors are adapted.
        base_digest: Of that encoder; another one is refused.
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
        if not (isinstance(self.base, str) and isinstance(self.base_digest, str)):
            raise ValueError("base and base_digest must be texts")
        if not (self.dim > 0 and self.hidden > 0 and 0 < self.ratio <= 1):
            raise ValueError(f"need dim > 0, hidden > 0 and 0 < ratio <= 1, got {self}")


class Adapter(nn.Module):
    """A two-layer bottleneck, mixed with its input; a new one changes nothing.

    The bottleneck reads rows less their mean, over their deviation: the base's vectors of texts
    from one field lie so close together that training would be slow otherwise.
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

    def measure(self, rows: Tensor) -> None:
        """Take mean and deviation from (n, dim) rows, before training."""
        deviation = rows.std(dim=0, correction=0)
        self.mean.copy_(rows.mean(dim=0))
        # A direction that hardly varies here must not explode on what comes later.
        self.deviation.copy_(deviation.clamp_min(0.1 * float(deviation.mean())).clamp_min(1e-6))

    def forward(self, rows: Tensor) -> Tensor:
        """(n, dim) unit vectors → (n, dim) unit vectors."""
        adapted = self.up(functional.relu(self.down((rows - self.mean) / self.deviation)))
        return functional.normalize((1 - self._ratio) * rows + self._ratio * adapted, dim=-1)


class AdapterPair(nn.Module):
    """The adapters of both sides and the temperature of their contrastive loss."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.media = Adapter(config)
        self.text = Adapter(config)
        self.logit_scale = nn.Parameter(torch.tensor(2.66))  # ln(1 / 0.07), as in CLIP

    def forward(self, media: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The base's unit vectors of pairs → adapted ones and the temperature's inverse."""
        return self.media(media), self.text(text), self.logit_scale.exp()


class AdapterEncoder:
    """Implements retrieval.protocols.Encoder: another encoder's vectors, adapted."""

    def __init__(
        self, base: Encoder, pair: AdapterPair, config: AdapterConfig, folder: Path, *, spec: str
    ) -> None:
        self.spec = spec
        self.slug = slug_of(folder.name)
        self.base = base
        self.pair = pair.eval()
        self.config = config
        self._folder = folder

    @classmethod
    def load(cls, location: str | Path, *, spec: str = "", device: str = "auto") -> AdapterEncoder:
        """Load adapter.json and adapter.safetensors from a folder, and the encoder they name.

        Raises:
            WeightsNotAvailableError: The folder lacks one of them, or the base is not here.
            WeightsFormatError: They are damaged, a pickle, or of other sizes.
            SpaceMismatchError: The base is not the one that the adapter was trained on.
        """
        folder = Path(location)
        spec = spec or f"adapter:{folder}"
        weights = safetensors_of(folder, WEIGHTS)
        config = read_config(folder / CONFIG)
        pair = configuration.build(lambda: AdapterPair(config), [weights], spec=spec)
        fill(pair, weights, spec=spec, config=CONFIG)
        base = load_encoder(config.base, device=device)
        if (base.digest, base.dim) != (config.base_digest, config.dim):
            raise SpaceMismatchError(
                f"{spec} was trained on {config.base} ({config.dim}-d, digest "
                f"{config.base_digest[:8]}), which is another model now ({base.dim}-d, digest "
                f"{base.digest[:8]}); bring back its weights, or train the adapter again"
            )
        return cls(base, pair, config, folder, spec=spec)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.config.dim

    @property
    def media(self) -> tuple[Medium, ...]:
        """What the base embeds."""
        return self.base.media

    @property
    def geometry(self) -> ImageGeometry | None:
        """As the base wants it."""
        return self.base.geometry

    @property
    def windows(self) -> AudioWindows | None:
        """As the base wants them."""
        return self.base.windows

    @cached_property
    def digest(self) -> str:
        """sha256 over the base's digest and the adapter's configuration and weights."""
        config = {name: value for name, value in asdict(self.config).items() if name != "base"}
        weights = file_digest(self._folder / WEIGHTS)
        return digest_of({"base": self.base.digest, "adapter": config, "weights": weights})

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the base's context length."""
        return self._adapted(self.pair.text, self.base.encode_text(texts))

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed pictures or frames as the base wants them."""
        return self._adapted(self.pair.media, self.base.encode_images(pixels))

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Embed windows as the base wants them."""
        return self._adapted(self.pair.media, self.base.encode_audio(windows, seconds))

    @torch.inference_mode()
    def _adapted(self, adapter: nn.Module, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return unit_rows(adapter(torch.from_numpy(rows)).numpy(), self.spec)


def read_config(path: Path) -> AdapterConfig:
    """Parse adapter.json.

    Raises:
        WeightsNotAvailableError: There is no such file.
        WeightsFormatError: Unknown or missing keys, impossible values, or no JSON.
    """
    if not path.is_file():
        raise WeightsNotAvailableError(
            f"{path} is missing; `retrieval train clip --adapter --pairs F --out DIR` writes it"
        )
    config = configuration.read_config(AdapterConfig, path, "describes no adapter")
    if config.base.startswith("adapter:"):
        raise WeightsFormatError(f"{path}: its base is an adapter again; train on {config.base}'s")
    return config
