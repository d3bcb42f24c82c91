from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from contracts.index_contract import unit_vectors
from indexes.building import build_approximate, refill
from indexes.errors import IndexFileError
from indexes.mapped_lists import PAGE, fast_scan
from indexes.saved import open_index, read_trained, write_index

DIM, ROWS = 64, 900
VECTORS = unit_vectors(ROWS, dim=DIM)
QUERIES = unit_vectors(7, dim=DIM, seed=1)
FACTORIES = ("IVF16,PQ32x4fs", "IVF16,PQ32x4fs_64", "IVF16,PQ32x4fsr", "OPQ16,IVF16,PQ16x4fs")


@pytest.fixture(params=FACTORIES)
def built(request: pytest.FixtureRequest) -> Any:
    return build_approximate(request.param, VECTORS, [VECTORS])


def answers(index: Any, **chosen: Any) -> list[np.ndarray]:
    parameters: Any = faiss.SearchParametersIVF(nprobe=6, **chosen)
    if isinstance(faiss.downcast_index(index), faiss.IndexPreTransform):
        parameters = faiss.SearchParametersPreTransform(index_params=parameters)
    return list(index.search(QUERIES, 40, params=parameters))


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)


def test_mapped_lists_give_same_answers_as_lists_in_memory(built: Any, tmp_path: Path) -> None:
    path = tmp_path / "part.faiss"
    before = answers(built)
    write_index(built, path)
    opened = open_index(path, dim=DIM, rows=ROWS)
    assert_same(answers(opened), before)
    chosen = faiss.IDSelectorBatch(np.arange(0, ROWS, 3))
    assert_same(answers(opened, sel=chosen), answers(built, sel=chosen))
    assert_same(answers(built), before)  # Writing does not change the index.
    assert (built.ntotal, opened.ntotal) == (ROWS, ROWS)


def test_lists_are_not_read_into_memory(built: Any, tmp_path: Path) -> None:
    path = tmp_path / "part.faiss"
    write_index(built, path)
    opened = open_index(path)
    assert str(path) in Path("/proc/self/maps").read_text()
    assert faiss.read_index(str(path)).ntotal == 0
    del opened
    assert str(path) not in Path("/proc/self/maps").read_text()


def test_empty_lists_are_supported(tmp_path: Path) -> None:
    rows = np.repeat(VECTORS[:3], 40, axis=0)
    built = build_approximate("IVF8,PQ32x4fs", VECTORS, [rows])
    sizes = [built.invlists.list_size(number) for number in range(8)]
    assert min(sizes) == 0
    write_index(built, tmp_path / "part.faiss")
    assert_same(answers(open_index(tmp_path / "part.faiss", rows=120)), answers(built))


def test_trained_index_can_be_refilled(built: Any, tmp_path: Path) -> None:
    write_index(built, tmp_path / "part.faiss")
    others = unit_vectors(300, dim=DIM, seed=2)
    filled = refill(read_trained(tmp_path / "part.faiss"), [others])
    built.reset()
    built.add(others)
    assert_same(answers(filled), answers(built))


def test_plain_file_is_readable_by_faiss(built: Any, tmp_path: Path) -> None:
    write_index(built, tmp_path / "part.faiss")
    write_index(open_index(tmp_path / "part.faiss"), tmp_path / "plain.faiss", plain=True)
    assert_same(answers(faiss.read_index(str(tmp_path / "plain.faiss"))), answers(built))
    faiss.write_index(built, str(tmp_path / "theirs.faiss"))
    assert (tmp_path / "plain.faiss").read_bytes() == (tmp_path / "theirs.faiss").read_bytes()


def test_other_kinds_are_written_by_faiss(tmp_path: Path) -> None:
    for factory in ("IVF16,SQ8", "IVF16,RaBitQfs", "IVF16,PQ32x4fs,RFlat", "HNSW8"):
        built = build_approximate(factory, VECTORS, [VECTORS])
        assert fast_scan(built) is None
        write_index(built, tmp_path / "part.faiss")
        assert faiss.read_index(str(tmp_path / "part.faiss")).ntotal == ROWS


def damaged(content: bytes, how: str) -> bytes:
    """The file ends with sixteen list sizes of eight bytes."""
    sizes = np.frombuffer(content[-128:], np.int64).copy()
    if how == "cut":
        return content[:-PAGE]
    sizes[3] = {"negative": -1, "endless": 1 << 62, "one more block": sizes[3] + 32}[how]
    return content[:-128] + sizes.tobytes()


@pytest.mark.parametrize("how", ["cut", "negative", "endless", "one more block"])
def test_fault_13_damaged_lists_fail_with_one_line(built: Any, tmp_path: Path, how: str) -> None:
    path = tmp_path / "part.faiss"
    write_index(built, path)
    path.write_bytes(damaged(path.read_bytes(), how))
    with pytest.raises(IndexFileError, match="damaged") as caught:
        open_index(path)
    assert "\n" not in str(caught.value)


def test_fault_13_an_index_without_its_lists_fails(built: Any, tmp_path: Path) -> None:
    built.reset()
    faiss.write_index(built, str(tmp_path / "part.faiss"))
    with pytest.raises(IndexFileError, match="damaged"):
        open_index(tmp_path / "part.faiss")
