"""Row 31: damaged files of NumPy."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest

from benchmarks.score import pairs
from retrieval.errors import SourceError
from retrieval.files.arrays import read_array


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _header(text: str) -> bytes:
    data = text.encode()
    return b"\x93NUMPY\x01\x00" + len(data).to_bytes(2, "little") + data


ROWS = np.random.default_rng(0).normal(size=(8, 8))


@pytest.mark.parametrize(
    "content",
    [
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999, 99999999), }\n"),
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (-3, 2), }\n"),
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (3,\n"),
        _header("(" * 5_000),
        _header("{'descr': [" + "('a', '<f8')," * 900 + "\n"),
        _npy(ROWS)[:100],
        _npz(a=ROWS)[:-30],
        _npz(a=ROWS)[:60],
        b"PK\x05\x06" + bytes(18),
    ],
)
def test_field_31_a_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "p.npy"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"p\.npy: ") as caught:
        pairs.score(path, None)
    assert "\n" not in str(caught.value)


def test_field_31_no_flipped_byte_causes_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    random = np.random.default_rng(0)
    for content in (_npy(ROWS), _npz(a=ROWS)):
        for _ in range(300):
            broken = bytearray(content)
            broken[random.integers(len(broken))] = random.integers(256)
            path.write_bytes(broken)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # zipfile's, of odd headers
                try:
                    array = read_array(path)
                except (ValueError, OSError):
                    continue
            assert isinstance(array, np.ndarray)


def test_field_31_large_and_small_vectors_keep_their_direction(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(6, 4))
    # Below 2e-308 numbers are subnormal, which some libraries make the processor flush to zero.
    scale = np.array([1e308, 1e200, 1.0, 1e-200, 1e-300, 1e-305])[:, None] / 4
    np.save(tmp_path / "a.npy", rows * scale)
    np.save(tmp_path / "b.npy", rows)
    found = pairs.score(tmp_path / "a.npy", tmp_path / "b.npy")
    assert found["query to item"]["R@1"] == found["item to query"]["R@1"] == 100.0


def test_field_31_an_empty_matrix_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.empty((0, 0)))
    with pytest.raises(SourceError, match="is empty"):
        pairs.score(tmp_path / "p.npy", None)
