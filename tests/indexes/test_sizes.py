from pathlib import Path

import faiss
import numpy as np
import pytest

from indexes.candidates import candidates
from indexes.saved import write_index
from indexes.sizes import IndexSize, index_sizes

ROWS, DIM = 4_000, 64


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    rows = np.random.default_rng(0).standard_normal((ROWS, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("size", index_sizes(ROWS, DIM)[1:], ids=lambda size: size.factory)
def test_field_56_formulas_approximate_file_sizes(
    size: IndexSize, vectors: np.ndarray, tmp_path: Path
) -> None:
    """Fast-scan lists with 4,000 rows in 256 lists take twice the size of their codes."""
    # Training a rotation is slow; only its matrix is added.
    rotation = size.factory.startswith("OPQ")
    factory = size.factory.split(",", 1)[1] if rotation else size.factory
    index = faiss.index_factory(DIM, factory, faiss.METRIC_INNER_PRODUCT)
    inverted = faiss.try_extract_index_ivf(index)
    if inverted is not None:
        inverted.cp.min_points_per_centroid = 1
        inverted.cp.niter = 4
    index.train(vectors)
    index.add(vectors)
    write_index(index, tmp_path / "index")
    written = (tmp_path / "index").stat().st_size + (4 * DIM * DIM if rotation else 0)
    assert size.memory_bytes == pytest.approx(written, rel=0.1)


def test_sizes_include_exact_part_in_order() -> None:
    sizes = index_sizes(1_000_000, 512)
    assert (sizes[0].memory_bytes, sizes[0].disk_bytes) == (0, 1_024_000_000)
    assert [size.factory for size in sizes[1:]] == [
        one.factory(1_000_000) for one in candidates(512)[1:]
    ]
    assert all(size.disk_bytes == size.memory_bytes + 1_024_000_000 for size in sizes)


def test_fault_30_no_rows() -> None:
    assert index_sizes(0, 512)[0].disk_bytes == 0
