from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from retrieval.encoders.preprocessing import Preprocessing
from retrieval.errors import WeightsFormatError
from retrieval.types import ImageGeometry

CPU = torch.device("cpu")


def processor(**changes: Any) -> SimpleNamespace:
    defaults = {
        "size": {"shortest_edge": 8},
        "do_center_crop": True,
        "crop_size": {"height": 8, "width": 8},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.25, 0.0],
        "image_std": [0.5, 0.5, 0.25],
    }
    return SimpleNamespace(**defaults | changes)


def test_the_short_side_or_both_sides() -> None:
    assert Preprocessing.of(processor(), spec="m").geometry == ImageGeometry(8, 8, "bicubic")
    both = processor(size={"height": 6, "width": 8}, do_center_crop=False, resample=2)
    assert Preprocessing.of(both, spec="m").geometry == ImageGeometry(6, 8, "bilinear", "squash")


def test_grey_levels_are_scaled_and_normalised_per_channel() -> None:
    pixels = np.full((2, 3, 8, 8, 3), 255, np.uint8)
    prepared = Preprocessing.of(processor(), spec="m").prepare(pixels, CPU)
    assert prepared.shape == (2, 3, 3, 8, 8)
    assert prepared[1, 2, :, 0, 0].tolist() == pytest.approx([1.0, 1.5, 4.0])
    plain = Preprocessing.of(processor(do_normalize=False), spec="m").prepare(pixels, CPU)
    assert plain.unique().tolist() == pytest.approx([1.0])


@pytest.mark.parametrize(
    "changes",
    [
        {"size": {"shortest_edge": 10}},  # scaled to 10, cropped to 8
        {"size": {"longest_edge": 8}, "do_center_crop": False},
        {"resample": 1},
    ],
)
def test_unsupported_resizing_fails(changes: dict[str, Any]) -> None:
    with pytest.raises(WeightsFormatError, match="m: its processor resizes to"):
        Preprocessing.of(processor(**changes), spec="m")


def test_an_incomplete_configuration_fails() -> None:
    with pytest.raises(
        WeightsFormatError, match="m: the configuration of its processor is incomplete"
    ):
        Preprocessing.of(processor(image_mean=None), spec="m")
