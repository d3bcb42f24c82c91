import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from retrieval.encoders.weights import (
    check_safetensors,
    dequantize,
    file_digest,
    find_safetensors,
    json_digest,
    load_weights,
    quantize,
    summarize_error,
)
from retrieval.errors import WeightsFormatError, WeightsNotAvailableError


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file({"a": np.ones((2, 3), np.float32)}, path)
    return path


def test_valid_weights_pass(weights: Path) -> None:
    check_safetensors(weights)
    assert find_safetensors(weights.parent, weights.name) == weights


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04pickle",
        struct.pack("<Q", 2**62) + b"{}",  # a header that claims to be huge
        struct.pack("<Q", 99_999_999) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 60)
        + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'.ljust(60),
    ],
)
def test_fault_18_safetensors_with_a_false_header_fails(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsFormatError, match=r"model\.safetensors: not a valid safetensors"):
        check_safetensors(path)


def test_truncated_safetensors_fails(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(WeightsFormatError, match="not a valid safetensors file"):
        check_safetensors(weights)


def test_safetensors_without_tensors_fails(tmp_path: Path) -> None:
    save_file({}, tmp_path / "none.safetensors")
    with pytest.raises(WeightsFormatError, match="contains no tensors"):
        check_safetensors(tmp_path / "none.safetensors")


def test_missing_weights_fail(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotAvailableError, match=r"x\.safetensors: no such file"):
        check_safetensors(tmp_path / "x.safetensors")
    with pytest.raises(WeightsNotAvailableError, match=r"contains no model\.safetensors"):
        find_safetensors(tmp_path, "model.safetensors")


def test_fault_17_a_pickle_in_place_of_weights_fails(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(WeightsFormatError, match=r"pytorch_model\.bin, a pickle"):
        find_safetensors(tmp_path, "model.safetensors")
    with pytest.raises(WeightsFormatError, match="a pickle can run code"):
        check_safetensors(tmp_path / "pytorch_model.bin")


def test_file_digest_is_the_sha256_and_notices_a_change(weights: Path) -> None:
    assert file_digest(weights) == hashlib.sha256(weights.read_bytes()).hexdigest()
    weights.write_bytes(b"other bytes")
    assert file_digest(weights) == hashlib.sha256(b"other bytes").hexdigest()


def test_json_digest_ignores_order_only() -> None:
    assert json_digest({"a": 1, "b": [2]}) == json_digest({"b": [2], "a": 1})
    assert json_digest({"a": 1}) != json_digest({"a": 2})


def test_fault_18_mismatches_become_one_short_line() -> None:
    error = RuntimeError(
        "Error(s) in loading:\n" + "\n".join(f"\tkey {i} " + "x " * 300 for i in range(9))
    )
    line = summarize_error(error)
    assert line.startswith("key 0 x")
    assert line.endswith("; and 3 more")
    assert "\n" not in line
    assert len(line) < 1300
    assert summarize_error(KeyError("visual.proj")) == "'visual.proj'"


def test_quantization_error_is_at_most_half_a_step(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained, loaded = (
        torch.nn.Sequential(
            torch.nn.Conv1d(3, 5, 2), torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4)
        )
        for _ in range(2)
    )
    trained[1].weight.data[2] = 0  # a row that has no largest weight
    packed = quantize(trained.state_dict())
    assert {packed[name].dtype for name in ("0.weight", "1.weight")} == {torch.int8}
    assert packed["0.bias"].dtype == torch.float16
    assert packed["2.num_batches_tracked"].dtype == torch.int64
    wanted = trained.state_dict()
    save_tensors(packed, tmp_path / "model.safetensors")
    load_weights(loaded, tmp_path / "model.safetensors", spec="small")
    for name, tensor in loaded.state_dict().items():
        if tensor.ndim > 1:
            steps = wanted[name].flatten(1).abs().amax(dim=1, keepdim=True) / 127
            away = (tensor - wanted[name]).flatten(1).abs()
            assert bool((away <= steps / 2 + 1e-7).all())
        else:
            torch.testing.assert_close(tensor, wanted[name], atol=1e-3, rtol=1e-3)


def test_a_tensor_may_have_the_suffix_of_scales() -> None:
    tensors = {"norm.scale": torch.ones(3), "norm.bias": torch.zeros(3)}
    assert dequantize(tensors) == tensors
