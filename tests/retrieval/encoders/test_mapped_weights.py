from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from retrieval.encoders.mapped_weights import map_tensors

TENSORS = {
    "text.single": torch.tensor([[1.5, -2.25, 3e-8], [0.1, 7.0, -1e30]]),
    "text.half": torch.tensor([0.1, -65504.0, 6e-8], dtype=torch.float16),
    "text.brain": torch.tensor([[0.1], [-3e38]], dtype=torch.bfloat16),
    "text.scalar": torch.tensor(4.5),
    "text.empty": torch.empty(0, 3),
    "text.codes": torch.tensor([1, 2], dtype=torch.int8),
    "visual": torch.ones(2),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_file(TENSORS, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_float_tensors_with_the_prefix_are_read(path: Path) -> None:
    tensors = map_tensors(path, "text.")
    assert tensors.keys() == {"single", "half", "brain", "scalar", "empty"}
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, TENSORS[f"text.{name}"].float().numpy())
        assert tensor.dtype == np.float32
    assert map_tensors(path)["visual"].tolist() == [1, 1]


@pytest.mark.parametrize("size", [0, 5, 40, -9])
def test_a_truncated_file_fails(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r".+"):
        map_tensors(path)
