"""Checks of the arrays that encoders read, and refusals of media that they do not embed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import InvalidVectorError
from retrieval.types import AudioWindows


class NoImages:
    """Mixin of encoders that do not embed single images."""

    spec: str

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raise ValueError."""
        raise ValueError(f"{self.spec} does not embed images")


class NoAudio:
    """Mixin of encoders that do not embed audio."""

    spec: str

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Raise ValueError."""
        raise ValueError(f"{self.spec} does not embed audio")


def check_pixels(pixels: NDArray[np.uint8], shape: tuple[int, ...], spec: str) -> None:
    """Raise ValueError unless the array is uint8 of shape (n, *shape)."""
    if pixels.shape[1:] != shape or pixels.dtype != np.uint8:
        raise ValueError(f"{spec} reads uint8 {shape}, got {pixels.dtype} {pixels.shape}")


def trim_padding(
    windows: NDArray[np.float32], seconds: NDArray[np.float64], longest: AudioWindows, spec: str
) -> list[NDArray[np.float32]]:
    """Cut the zero padding off audio windows.

    Args:
        windows: (n, samples) float32 mono.
        seconds: (n,) length of the audio in each window; the rest is padding.
        longest: Windows of the model.
        spec: Specification of the model, for messages.

    Returns:
        The audio of each window, at least one sample.

    Raises:
        InvalidVectorError: A sample is not finite.
        ValueError: The windows are empty or longer than the model's.
    """
    if windows.ndim != 2 or not 0 < windows.shape[1] <= longest.window_samples:
        raise ValueError(
            f"{spec} reads windows of up to {longest.window_samples} samples, got {windows.shape}"
        )
    if not np.isfinite(windows).all():
        raise InvalidVectorError(f"{spec}: audio with NaN or infinite samples")
    ends = np.rint(seconds * longest.sample_rate_hz).astype(int).clip(1, windows.shape[1])
    return [row[:end] for row, end in zip(windows, ends, strict=True)]
