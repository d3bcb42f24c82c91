import faiss
import numpy as np
import pytest

from indexes.choose import candidates
from indexes.sizes import IndexSize, index_sizes

ROWS, DIM = 4_000, 64


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    rows = np.random.default_rng(0).standard_normal((ROWS, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("size", index_sizes(ROWS, DIM)[1:], ids=lambda size: size.factory)
def test_formulae_are_near_what_faiss_writes(size: IndexSize, vectors: np.ndarray) -> None:
    # Few lists and no rotation: training them takes long, and is not what is looked at.
    factory = size.factory.replace("IVF256", "IVF16").removeprefix("OPQ16,").removeprefix("OPQ8,")
    index = faiss.index_factory(DIM, factory, faiss.METRIC_INNER_PRODUCT)
    inverted = faiss.try_extract_index_ivf(index)
    if inverted is not None:
        inverted.cp.min_points_per_centroid = 1
        inverted.cp.niter = 1
    index.train(vectors[:1000])
    index.add(vectors)
    written = len(faiss.serialize_index(index))
    fewer_lists = 0 if inverted is None else 4 * DIM * (256 - 16)
    # What does not grow with the rows, as a codebook, is left out of the formulae.
    assert size.memory_bytes - fewer_lists == pytest.approx(written, rel=0.03, abs=12_000)


def test_of_the_exact_part_and_in_order() -> None:
    sizes = index_sizes(1_000_000, 512)
    assert (sizes[0].memory_bytes, sizes[0].disk_bytes) == (0, 1_024_000_000)
    assert [size.factory for size in sizes[1:]] == [
        one.factory(1_000_000) for one in candidates(512)[1:]
    ]
    assert all(size.disk_bytes == size.memory_bytes + 1_024_000_000 for size in sizes)


def test_fault_30_no_rows() -> None:
    assert index_sizes(0, 512)[0].disk_bytes == 0
