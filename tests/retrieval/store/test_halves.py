import numpy as np
import pytest

from retrieval.store.halves import round_to_half


@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_are_rounded_as_numpy_rounds_them(sign: int) -> None:
    # All exponents up to that of the largest float16, with fractions beside and at each tie.
    fractions = np.array([0, 1, 0xFFF, 0x1000, 0x1001, 0x2FFF, 0x3000, 0x7FF000], np.uint32)
    exponents = np.arange(127 + 16, dtype=np.uint32)[:, None] << 23
    numbers = sign * (exponents | fractions).view(np.float32)
    numbers = numbers[:, np.abs(numbers[-1]) < 65_504]
    halves = np.empty(numbers.shape, np.float16)
    round_to_half(numbers, halves)
    np.testing.assert_array_equal(
        halves.view(np.uint16), numbers.astype(np.float16).view(np.uint16)
    )


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e-7])
def test_random_vectors_are_rounded_as_numpy_rounds_them(scale: float) -> None:
    numbers = np.random.default_rng(0).normal(scale=scale, size=(300, 32)).astype(np.float32)
    halves = np.empty(numbers.shape, np.float16)
    round_to_half(numbers, halves)
    assert halves.tobytes() == numbers.astype(np.float16).tobytes()
