import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import indexes.gpu_exact
import indexes.gpu_scores
import indexes.gpu_stream
from contracts.index_contract import DIM, ROWS, IndexContract, brute_force, unit_vectors
from indexes.gpu_exact import TorchExact
from indexes.gpu_stream import stream_blocks

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks, so that few rows use all code paths."""
    monkeypatch.setattr(indexes.gpu_scores, "GROUP_ROWS", 4)
    monkeypatch.setattr(indexes.gpu_exact, "QUERY_BATCH", 3)
    monkeypatch.setattr(indexes.gpu_exact, "PASS_SCORES", 3 * 160)
    monkeypatch.setattr(indexes.gpu_scores, "WORK_BYTES", 8_192)
    for module in (indexes.gpu_exact, indexes.gpu_stream):
        monkeypatch.setattr(module, "STREAM_BLOCK_BYTES", 150 * 2 * DIM)


@pytest.mark.parametrize("device", DEVICES)
class Contract(IndexContract):
    resident = True

    @pytest.fixture(autouse=True)
    def _device(self, device: str) -> None:
        self.device = device

    def build(self, vectors: NDArray[np.float32]) -> TorchExact:
        return TorchExact(vectors.astype(np.float16), self.device, resident=self.resident)


class TestResident(Contract):
    pass


class TestStreamed(Contract):
    resident = False


@pytest.mark.usefixtures("small_pieces")
class TestResidentInSmallPieces(Contract):
    pass


@pytest.mark.usefixtures("small_pieces")
class TestStreamedInSmallPieces(Contract):
    resident = False


def exact(vectors: NDArray[np.float32], device: str = "cpu", **options: bool) -> TorchExact:
    return TorchExact(vectors.astype(np.float16), device, **options)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.usefixtures("small_pieces")
def test_large_batches_and_answers_span_all_blocks(device: str, resident: bool) -> None:
    vectors, queries = unit_vectors(ROWS), unit_vectors(10, seed=1)
    allowed = np.random.default_rng(5).random(ROWS) < 0.6
    for k in (1, 7, 60, ROWS):
        scores, ids = exact(vectors, device, resident=resident).search(queries, k, allowed=allowed)
        want_scores, want_ids = brute_force(vectors, queries, k, allowed)
        np.testing.assert_array_equal(ids, want_ids)
        np.testing.assert_allclose(scores, want_scores, atol=2e-6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.usefixtures("small_pieces")
def test_unproven_queries_use_full_scores(device: str) -> None:
    """A hundred equal rows: omitted groups contain rows as good as the answers."""
    vectors = unit_vectors(ROWS)
    vectors[200:300] = vectors[7]
    queries = np.concatenate([unit_vectors(2, seed=1), vectors[7:8], unit_vectors(2, seed=2)])
    index = exact(vectors, device)
    _, proven = index._best_keys(queries, 5, None, full=False)
    assert proven.tolist() == [True, True, False, True, True]
    assert index.unproven_queries == 0
    ids = index.search(queries, 5)[1]
    assert index.unproven_queries == 1
    assert ids[2].tolist() == [7, 200, 201, 202, 203]
    np.testing.assert_array_equal(ids, brute_force(vectors, queries, 5)[1])


@pytest.mark.usefixtures("small_pieces")
def test_rows_distinguished_only_by_float32_queries_are_ranked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows one float16 step apart: the first pass with rounded queries confuses their order."""
    rng = np.random.default_rng(3)
    vectors = np.repeat(unit_vectors(125), 4, axis=0).astype(np.float16)
    steps = rng.integers(-1, 2, vectors.shape)
    vectors = np.where(steps > 0, np.nextafter(vectors, np.float16(1)), vectors)
    queries = rng.normal(size=(40, DIM))
    ids = TorchExact(vectors, "cpu").search(queries, 6)[1]
    np.testing.assert_array_equal(ids, brute_force(vectors, queries, 6)[1])


@pytest.mark.parametrize("device", DEVICES)
def test_blocks_cover_all_rows_in_order(device: str) -> None:
    rows = torch.arange(1_000 * DIM).reshape(1_000, DIM).half()
    blocks = [
        (first, block.clone())
        for first, block in stream_blocks(rows, torch.device(device), block_bytes=300 * 2 * DIM)
    ]
    assert [first for first, _ in blocks] == [0, 300, 600, 900]
    assert torch.equal(torch.cat([block for _, block in blocks]).cpu(), rows)


def test_read_only_mapped_file_is_searched(tmp_path) -> None:
    vectors, queries = unit_vectors(ROWS), unit_vectors(3, seed=1)
    np.save(tmp_path / "rows.npy", vectors.astype(np.float16))
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
    ids = TorchExact(rows, "cpu", resident=False).search(queries, 4)[1]
    np.testing.assert_array_equal(ids, brute_force(vectors, queries, 4)[1])


def test_no_rows_and_no_queries() -> None:
    scores, ids = exact(unit_vectors(0)).search(unit_vectors(2), 3)
    assert (ids == -1).all()
    assert np.isneginf(scores).all()
    assert exact(unit_vectors(5)).search(unit_vectors(0), 3)[1].shape == (0, 3)


def test_more_rows_than_keys_support_fails() -> None:
    rows = np.broadcast_to(np.zeros(1, np.float16), (1 << 32, 1))
    with pytest.raises(ValueError, match="4294967296 rows"):
        TorchExact(rows, "cpu", resident=False)
