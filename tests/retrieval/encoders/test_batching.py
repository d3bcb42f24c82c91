import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from retrieval.encoders.batching import (
    CPU_BATCH,
    MIN_PART,
    Batcher,
    choose_device,
    compute_dtype,
    encode_in_parts,
)
from retrieval.errors import ModelError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_the_batch_is_halved_when_memory_runs_out(error: Exception) -> None:
    sizes = []

    def encode(part: slice) -> torch.Tensor:
        sizes.append(part.stop - part.start)
        if sizes[-1] > 10:
            raise error
        return torch.arange(part.start, part.stop)[:, None].expand(-1, 2)

    batcher = Batcher(CPU, "model")
    rows = batcher.run(20, 2, encode)
    assert rows.tolist() == [[i, i] for i in range(20)]
    assert sizes == [20, 16, 8, 8, 4]
    assert batcher.size == 8  # permanently


def test_memory_for_not_even_one_sample_fails() -> None:
    def encode(part: slice) -> torch.Tensor:
        raise MemoryError

    with pytest.raises(ModelError, match=r"model: memory does not suffice.*smaller model"):
        Batcher(CPU, "model").run(3, 2, encode)


def test_other_errors_of_a_model_pass_through() -> None:
    def encode(part: slice) -> torch.Tensor:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        Batcher(CPU, "model").run(3, 2, encode)


def test_no_samples_make_no_rows() -> None:
    batcher = Batcher(CPU, "model")
    assert batcher.size == CPU_BATCH
    assert batcher.run(0, 7, lambda part: torch.empty(0)).shape == (0, 7)


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(
    ("count", "sizes", "threads"),
    [
        (0, [0], 4),
        (2 * MIN_PART - 1, [2 * MIN_PART - 1], 4),
        (2 * MIN_PART + 1, [MIN_PART, MIN_PART + 1], 2),
        (32, [8, 8, 8, 8], 1),
    ],
)
def test_each_core_encodes_a_part_of_a_batch(count: int, sizes: list[int], threads: int) -> None:
    samples = np.arange(2 * count, dtype=np.uint8).reshape(count, 2)
    seen: list[tuple[int, int]] = []

    def encode(part: NDArray[np.uint8]) -> torch.Tensor:
        seen.append((len(part), torch.get_num_threads()))
        if len(sizes) > 1:
            assert threading.current_thread() is not threading.main_thread()
            assert torch.is_inference_mode_enabled()
        return torch.from_numpy(part.astype(np.float32)) + 1

    rows = encode_in_parts(encode, samples)
    np.testing.assert_array_equal(rows.numpy(), samples + 1.0)
    assert sorted(seen) == [(size, threads) for size in sizes]
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_an_error_of_a_part_is_that_of_the_batch() -> None:
    def encode(part: NDArray[np.uint8]) -> torch.Tensor:
        if 31 in part:
            raise MemoryError
        return torch.zeros(len(part), 1)

    with pytest.raises(MemoryError):
        encode_in_parts(encode, np.arange(32, dtype=np.uint8))
    assert torch.get_num_threads() == 4


def test_devices() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type in ("cpu", "cuda")
    assert compute_dtype(CPU) == torch.float32
    with pytest.raises(ModelError, match="no device 'tpu9'"):
        choose_device("tpu9")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_where_there_is_none_fails() -> None:
    with pytest.raises(ModelError, match="no GPU is visible"):
        choose_device("cuda")
