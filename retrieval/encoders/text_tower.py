"""CLIP's text transformer (2103.00020) with numpy, for the few texts of a search.

The module computes what open_clip's `TextTransformer` does, with the names of its parameters.
Importing torch would take longer than encoding a text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.mapped_weights import map_tensors

Array = NDArray[np.float32]

POOLINGS = ("argmax", "eos", "first", "last")


@dataclass(frozen=True, slots=True)
class TextTowerConfig:
    """Sizes and variants of a text tower.

    Attributes:
        prefix: Prefix of its parameters in the file of weights.
        dim: Length of a vector.
        mlp_width: Width of the hidden layer of each block.
        activation: A key of `ACTIVATIONS`.
        is_causal: Whether a token sees only the tokens before it.
        pooling: The token that represents the text, one of `POOLINGS`.
        eos_id: The token of the pooling `eos`.
        projection: `matrix`, `linear` (with a bias), or `none`.
    """

    prefix: str
    dim: int
    width: int
    heads: int
    layers: int
    mlp_width: int
    context_length: int
    vocabulary: int
    activation: str
    epsilon: float
    is_causal: bool
    pooling: str
    eos_id: int
    projection: str


def erf(x: Array) -> Array:
    """Approximate the error function within 5e-7: Abramowitz and Stegun, 7.1.26."""
    t = 1 / (1 + np.float32(0.3275911) * np.abs(x))
    polynomial = np.zeros_like(t)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        polynomial = (polynomial + np.float32(factor)) * t
    result: Array = np.copysign(1 - polynomial * np.exp(-x * x), x)
    return result


def gelu(x: Array) -> Array:
    """Apply GELU (1606.08415)."""
    return np.float32(0.5) * x * (1 + erf(x * np.float32(0.5**0.5)))


def gelu_tanh(x: Array) -> Array:
    """Apply the approximation of GELU by tanh."""
    inner = np.float32((2 / np.pi) ** 0.5) * (x + np.float32(0.044715) * x * x * x)
    result: Array = np.float32(0.5) * x * (1 + np.tanh(inner))
    return result


def quick_gelu(x: Array) -> Array:
    """Apply the approximation of GELU in OpenAI's models."""
    with np.errstate(over="ignore"):  # a large negative x gives -0
        result: Array = x / (1 + np.exp(np.float32(-1.702) * x))
    return result


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
}


class TextTower:
    """Maps the tokens of one text to a vector that is not normalized.

    Args:
        config: Sizes and variants.
        tensors: The parameters by name. They may be mapped: texts read a few rows of the largest.
    """

    def __init__(self, config: TextTowerConfig, tensors: Mapping[str, Array]) -> None:
        self.config = config
        self._tensors = tensors
        self._activate = ACTIVATIONS[config.activation]

    @classmethod
    def load(cls, config: TextTowerConfig, weights: Path) -> TextTower:
        """Map the parameters of a checked safetensors file.

        Raises:
            ValueError: The file is damaged, or has tensors of another type.
            OSError: The file cannot be read.
        """
        return cls(config, map_tensors(weights, config.prefix))

    def __call__(self, tokens: NDArray[np.int64]) -> Array:
        """Map (context length,) ids to (dim,) float32; errors as `states`."""
        # Later tokens change nothing if a token sees only those before it.
        read = tokens[: self._place(tokens) + 1] if self.config.is_causal else tokens
        return self.pool(self.states(read), tokens)

    def states(self, tokens: NDArray[np.int64]) -> Array:
        """Map ids, (n,), to the normalized states of the last block, (n, width) float32.

        Raises:
            KeyError, ValueError: The weights lack a parameter, or one has another shape.
            IndexError: An id is not in the vocabulary.
        """
        config = self.config
        x = self._tensors["token_embedding.weight"][tokens].astype(np.float32)
        x = x + self._tensors["positional_embedding"][: len(tokens)]
        for number in range(config.layers):
            block = f"transformer.resblocks.{number}."
            x = x + self._attend(f"{block}attn.", self._normalize(f"{block}ln_1.", x))
            hidden = self._linear(f"{block}mlp.c_fc.", self._normalize(f"{block}ln_2.", x))
            x = x + self._linear(f"{block}mlp.c_proj.", self._activate(hidden))
        return self._normalize("ln_final.", x)

    def pool(self, states: Array, tokens: NDArray[np.int64]) -> Array:
        """Map the states of tokens to the vector of the text, (dim,) float32."""
        pooled: Array = states[self._place(tokens)]
        if self.config.projection == "linear":
            return self._linear("text_projection.", pooled)
        if self.config.projection == "matrix":
            pooled = pooled @ self._tensors["text_projection"]
        return pooled

    def _attend(self, name: str, x: Array) -> Array:
        """Apply attention of several heads to (tokens, width)."""
        length, heads = len(x), self.config.heads
        weight, bias = self._tensors[f"{name}in_proj_weight"], self._tensors[f"{name}in_proj_bias"]
        projected = (x @ weight.T + bias).reshape(length, 3, heads, -1)
        query, key, value = projected.transpose(1, 2, 0, 3)  # (heads, tokens, width of a head)
        scores = query @ key.transpose(0, 2, 1) * np.float32(query.shape[-1] ** -0.5)
        if self.config.is_causal:
            scores = np.where(np.tri(length, dtype=bool), scores, np.float32(-np.inf))
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        attended = (shares @ value).transpose(1, 0, 2).reshape(length, -1)
        return self._linear(f"{name}out_proj.", attended)

    def _linear(self, name: str, x: Array) -> Array:
        return x @ self._tensors[f"{name}weight"].T + self._tensors[f"{name}bias"]

    def _normalize(self, name: str, x: Array) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt(variance + np.float32(self.config.epsilon))
        normalized: Array = scaled * self._tensors[f"{name}weight"] + self._tensors[f"{name}bias"]
        return normalized

    def _place(self, tokens: NDArray[np.int64]) -> int:
        """Return the position of the token that represents the text."""
        if self.config.pooling == "argmax":
            return int(tokens.argmax())
        if self.config.pooling == "eos":
            return int((tokens == self.config.eos_id).argmax())
        return len(tokens) - 1 if self.config.pooling == "last" else 0
