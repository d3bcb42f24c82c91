"""Many channels to one, so that whatever is heard in one of them is still heard."""

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
"""ITU-R BS.775: the mean of its stereo downmix's two sides; other channels count as surround."""

_FIVE_POINT_ONE = ("FL", "FR", "FC", "LFE", "SL", "SR")

_CANCELLED = 0.25
"""Share of the channels' energy below which a sum of them is taken to cancel them out."""

_SILENT = 1e-8
_SPAN_SAMPLES = 8_192
"""Whether channels cancel each other out is judged over so much sound at a time."""

_FADE_SAMPLES = 256


class Downmix:
    """Mixes consecutive blocks of one stream; channels in opposite phase are turned round."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._weights = np.ones(1)
        self._signs = np.ones(1)
        self._used: NDArray[np.float64] | None = None

    def mix(self, block: NDArray[np.float32], names: Sequence[str] = ()) -> NDArray[np.float32]:
        """Mix a block to one channel.

        Args:
            block: (n, channels) float32.
            names: The channels as FFmpeg abbreviates them (`FL`, `FC`, …), one each. Six channels
                without names are 5.1; any other number of them counts alike.

        Returns:
            (n,) float32. Equal channels keep their level, however many they are, up to stereo.
        """
        if block.shape[1] == 1:
            return block[:, 0]
        if tuple(names) != self._names or len(self._weights) != block.shape[1]:
            self._names = tuple(names)
            self._weights = _weights(self._names, block.shape[1])
            self._signs = np.ones(block.shape[1])
            self._used = None
        spans = [block[at : at + _SPAN_SAMPLES] for at in range(0, len(block), _SPAN_SAMPLES)]
        return np.concatenate([self._mix_span(span) for span in spans] or [block[:, 0]])

    def _mix_span(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        factors = self._factors(block.astype(np.float64))
        before = factors if self._used is None else self._used
        self._used = factors
        mixed = block @ factors.astype(np.float32)
        if not np.array_equal(before, factors):
            count = min(_FADE_SAMPLES, len(block))
            share = np.linspace(0.0, 1.0, count, dtype=np.float32)
            old = block[:count] @ before.astype(np.float32)
            mixed[:count] = share * mixed[:count] + (1 - share) * old
        return mixed

    def _factors(self, block: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(over="ignore", invalid="ignore"):
            products = block.T @ block
        energies = products.diagonal()
        if not np.isfinite(products).all() or not energies.any():
            return self._weights * self._signs
        weights = self._weights
        if weights**2 @ energies < _SILENT * energies.sum():  # only the bass channel sounds
            weights = np.where(weights == 0, 0.5, weights)
        alone = weights**2 @ energies
        factors = weights * self._signs
        if factors @ products @ factors < _CANCELLED * alone:
            loudest = int(np.argmax(weights**2 * energies))
            self._signs = np.where(products[loudest] < 0, -1.0, 1.0)
            factors = weights * self._signs
        return np.asarray(factors, np.float64)


def _weights(names: tuple[str, ...], channels: int) -> NDArray[np.float64]:
    if not names and channels == len(_FIVE_POINT_ONE):
        names = _FIVE_POINT_ONE
    if len(names) != channels:
        return np.full(channels, 1 / channels)
    return np.array([_WEIGHTS.get(name, 0.5 * _CENTRE) for name in names])
