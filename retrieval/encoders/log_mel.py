"""Log-mel spectrograms of audio windows, computed by torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

DECIBELS_PER_UNIT = 30.0
"""Decibels per unit of a spectrogram's values."""


class LogMel(nn.Module):
    """Short-time Fourier transform, Slaney's mel bands, logarithm of the energy.

    Args:
        sample_rate_hz: Sample rate of the audio.
        bands: Number of mel bands.
        window_samples: Length of the Hann window and of the transform.
        hop_samples: Distance between two frames.
    """

    filters: Tensor
    hann: Tensor

    def __init__(
        self, sample_rate_hz: int, bands: int, window_samples: int, hop_samples: int
    ) -> None:
        super().__init__()
        self._window_samples = window_samples
        self._hop_samples = hop_samples
        filters = mel_filters(sample_rate_hz, bands, window_samples)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("hann", torch.hann_window(window_samples), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Convert (n, samples) float32 in [-1, 1] to (n, bands, samples // hop), about 0 ± 1.

        Energies below -80 dB of full scale are clipped, so that silence is uniform.
        """
        with torch.autocast(audio.device.type, enabled=False):
            spectrum = torch.stft(
                audio,
                self._window_samples,
                self._hop_samples,
                window=self.hann,
                return_complex=True,
            )
            power = spectrum.real.square() + spectrum.imag.square()
            decibels = 10 * torch.log10((self.filters @ power[..., :-1]).clamp_min(1e-8))
        return (decibels + 30) / DECIBELS_PER_UNIT


def mel_filters(sample_rate_hz: int, bands: int, window_samples: int) -> Tensor:
    """Build triangular filters of equal area on the mel scale from 0 Hz to half the sample rate.

    Slaney's scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above.

    Returns:
        (bands, window_samples // 2 + 1) float32.
    """
    frequencies = torch.linspace(
        0, sample_rate_hz / 2, window_samples // 2 + 1, dtype=torch.float64
    )
    edges = _hz(torch.linspace(0, float(_mel(sample_rate_hz / 2)), bands + 2, dtype=torch.float64))
    rising = (frequencies[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies[None]) / (edges[2:] - edges[1:-1])[:, None]
    triangles = torch.minimum(rising, falling).clamp_min(0)
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).float()


_LINEAR_HZ = 200 / 3
_BREAK_HZ = 1_000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ
_LOG_STEP = math.log(6.4) / 27


def _mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _LINEAR_HZ
    return _BREAK_MEL + math.log(hz / _BREAK_HZ) / _LOG_STEP


def _hz(mel: Tensor) -> Tensor:
    above = _BREAK_HZ * torch.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return torch.where(mel < _BREAK_MEL, mel * _LINEAR_HZ, above)
