"""The functions of the text tower, compared with those of torch."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from retrieval.encoders.text_tower import ACTIVATIONS, erf

NUMBERS = np.concatenate(
    [np.linspace(-12, 12, 4_801), [-1e4, -100, -0.0, 1e-20, 100, 1e4]], dtype=np.float32
)


def test_the_error_function_is_near_that_of_torch() -> None:
    expected = torch.erf(torch.from_numpy(NUMBERS)).numpy()
    np.testing.assert_allclose(erf(NUMBERS), expected, rtol=0, atol=5e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_near_those_of_torch(name: str) -> None:
    x = torch.from_numpy(NUMBERS)
    expected = {
        "gelu": functional.gelu(x),
        "gelu_tanh": functional.gelu(x, approximate="tanh"),
        "quick_gelu": x * torch.sigmoid(1.702 * x),
    }[name]
    np.testing.assert_allclose(ACTIVATIONS[name](NUMBERS), expected.numpy(), rtol=1e-6, atol=2e-6)
