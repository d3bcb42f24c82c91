"""Mix several channels to one without cancellation between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_CENTRE = np.sqrt(0.5)
_WEIGHTS = {
    **dict.fromkeys(("FL", "FR", "FLC", "FRC", "DL", "DR"), 0.5),
    "FC": _CENTRE,
    **dict.fromkeys(("SL", "SR", "BL", "BR", "WL", "WR", "SDL", "SDR"), 0.5 * _CENTRE),
    "BC": 0.5,
    **dict.fromkeys(("LFE", "LFE2"), 0.0),
}
"""ITU-R BS.775: the mean of both sides of its stereo downmix; other channels are surround."""

_FIVE_POINT_ONE = ("FL", "FR", "FC", "LFE", "SL", "SR")

_CANCELLATION_SHARE = 0.25
"""A sum with a smaller share of the channels' energy counts as cancellation."""

_SILENT_SHARE = 1e-8
_SPAN_SAMPLES = 8_192
"""Cancellation is detected in spans of this length."""

_FADE_SAMPLES = 256


class Downmix:
    """Mixes consecutive blocks of one stream, inverting channels in opposite phase."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._weights = np.ones(1)
        self._signs = np.ones(1)
        self._last_factors: NDArray[np.float64] | None = None

    def mix(self, block: NDArray[np.float32], names: Sequence[str] = ()) -> NDArray[np.float32]:
        """Mix a block to one channel.

        Args:
            block: (n, channels) float32.
            names: FFmpeg's abbreviation of each channel (`FL`, `FC`, …). Six channels without names
                are 5.1; any other number of channels without names have equal weights.

        Returns:
            (n,) float32. Equal channels keep their level, up to stereo.
        """
        if block.shape[1] == 1:
            return block[:, 0]
        if tuple(names) != self._names or len(self._weights) != block.shape[1]:
            self._names = tuple(names)
            self._weights = _channel_weights(self._names, block.shape[1])
            self._signs = np.ones(block.shape[1])
            self._last_factors = None
        starts = range(0, len(block), _SPAN_SAMPLES)
        spans = [self._mix_span(block[start : start + _SPAN_SAMPLES]) for start in starts]
        return np.concatenate(spans or [block[:, 0]])

    def _mix_span(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        factors = self._factors(block.astype(np.float64))
        before = factors if self._last_factors is None else self._last_factors
        self._last_factors = factors
        mixed = block @ factors.astype(np.float32)
        if not np.array_equal(before, factors):
            count = min(_FADE_SAMPLES, len(block))
            share = np.linspace(0.0, 1.0, count, dtype=np.float32)
            old = block[:count] @ before.astype(np.float32)
            mixed[:count] = share * mixed[:count] + (1 - share) * old
        return mixed

    def _factors(self, block: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the (channels,) factors of one span, with signs that avoid cancellation."""
        with np.errstate(over="ignore", invalid="ignore"):
            products = block.T @ block
        energies = products.diagonal()
        if not np.isfinite(products).all() or not energies.any():
            return self._weights * self._signs
        weights = self._weights
        if weights**2 @ energies < _SILENT_SHARE * energies.sum():  # only the bass channel sounds
            weights = np.where(weights == 0, 0.5, weights)
        uncorrelated_energy = weights**2 @ energies
        factors = weights * self._signs
        if factors @ products @ factors < _CANCELLATION_SHARE * uncorrelated_energy:
            loudest = int(np.argmax(weights**2 * energies))
            self._signs = np.where(products[loudest] < 0, -1.0, 1.0)
            factors = weights * self._signs
        return np.asarray(factors, np.float64)


def _channel_weights(names: tuple[str, ...], channels: int) -> NDArray[np.float64]:
    if not names and channels == len(_FIVE_POINT_ONE):
        names = _FIVE_POINT_ONE
    if len(names) != channels:
        return np.full(channels, 1 / channels)
    return np.array([_WEIGHTS.get(name, 0.5 * _CENTRE) for name in names])
