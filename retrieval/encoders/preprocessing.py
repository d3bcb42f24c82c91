"""Image preprocessing as a processor of transformers configures it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.errors import WeightsFormatError
from retrieval.types import ImageGeometry

INTERPOLATIONS = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""Interpolations by Pillow's numbers, which configurations store."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Conversion of decoded pictures to a model's input.

    Attributes:
        geometry: How decoders resize and crop.
        scale: Factor of the grey levels 0 … 255.
        mean: Subtracted per channel, after scaling.
        std: Divisor per channel.
    """

    geometry: ImageGeometry
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, processor: Any, *, spec: str) -> Preprocessing:
        """Read the settings of a processor of transformers.

        Raises:
            WeightsFormatError: Settings are missing, or the decoders do not support the resizing.
        """
        normalizes = bool(getattr(processor, "do_normalize", True))
        scales = bool(getattr(processor, "do_rescale", True))
        try:
            return cls(
                _geometry(processor, spec),
                float(processor.rescale_factor) if scales else 1.0,
                tuple(processor.image_mean) if normalizes else (0.0, 0.0, 0.0),
                tuple(processor.image_std) if normalizes else (1.0, 1.0, 1.0),
            )
        except (AttributeError, TypeError, KeyError) as error:
            raise WeightsFormatError(
                f"{spec}: the configuration of its processor is incomplete ({error}); download "
                "the model again"
            ) from error

    def prepare(self, pixels: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
        """Scale and normalize pictures of the model's size.

        Args:
            pixels: (…, height, width, 3) uint8.
            device: Device of the result.

        Returns:
            (…, 3, height, width) float32.
        """
        batch = torch.from_numpy(np.require(pixels, requirements=("C", "W"))).to(device)
        scaled = batch.movedim(-1, -3).to(torch.float32, memory_format=torch.contiguous_format)
        mean, std = (
            torch.tensor(values, device=device).view(3, 1, 1) for values in (self.mean, self.std)
        )
        return scaled.mul_(self.scale).sub_(mean).div_(std)


def _geometry(processor: Any, spec: str) -> ImageGeometry:
    size, crop = _sides(processor.size), None
    if getattr(processor, "do_center_crop", False):
        crop = _sides(processor.crop_size)
    interpolation = INTERPOLATIONS.get(int(processor.resample))
    final = crop or size
    if interpolation is not None and {"height", "width"} <= final.keys():
        height, width = final["height"], final["width"]
        if size == final:
            return ImageGeometry(height, width, interpolation, "squash")
        if size == {"shortest_edge": min(height, width)}:
            return ImageGeometry(height, width, interpolation, "shortest")
    raise WeightsFormatError(
        f"{spec}: its processor resizes to {size}, crops to {crop} and resamples by "
        f"{processor.resample}; supported are the short side or both sides of the model's input, "
        f"resampled by {', '.join(INTERPOLATIONS.values())}"
    )


def _sides(size: Any) -> dict[str, int]:
    return {name: int(pixels) for name, pixels in dict(size).items() if pixels is not None}
