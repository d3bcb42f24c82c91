import resource
import signal
from pathlib import Path

import faiss
import numpy as np
import pytest

from contracts.index_contract import DIM, unit_vectors
from indexes.building import build_approximate, build_exact
from indexes.candidates import candidates
from indexes.errors import DimensionMismatchError, IndexFileError
from indexes.faiss import FaissIndex
from indexes.saved import open_index, write_index


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "exact.faiss"
    write_index(build_exact([unit_vectors(50)], DIM), path)
    return path


def test_opened_index_gives_same_answers_as_in_memory(saved: Path) -> None:
    queries = unit_vectors(3, seed=1)
    want = FaissIndex(build_exact([unit_vectors(50)], DIM)).search(queries, 5)
    for got, expected in zip(FaissIndex(open_index(saved)).search(queries, 5), want, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_another_dimension_fails(saved: Path) -> None:
    with pytest.raises(DimensionMismatchError, match="16-d vectors, the space has 32"):
        open_index(saved, dim=32)


def test_another_number_of_rows_fails(saved: Path) -> None:
    with pytest.raises(IndexFileError, match="50 rows, its card says 49"):
        open_index(saved, rows=49)


def test_missing_file_fails(tmp_path: Path) -> None:
    with pytest.raises(IndexFileError, match="is missing"):
        open_index(tmp_path / "exact.faiss")


def test_an_index_for_distances_fails(tmp_path: Path) -> None:
    index = faiss.IndexFlatL2(DIM)
    index.add(unit_vectors(3))
    write_index(index, tmp_path / "exact.faiss")
    with pytest.raises(IndexFileError, match="FAISS metric 1, expected inner products"):
        open_index(tmp_path / "exact.faiss")


def test_fault_13_excessive_count_in_header_fails(saved: Path) -> None:
    """The header claims 2^39 code bytes."""
    content = bytearray(saved.read_bytes())
    place = content.index((50 * DIM * 2).to_bytes(8, "little"))
    content[place : place + 8] = (1 << 39).to_bytes(8, "little")
    saved.write_bytes(content)
    with pytest.raises(IndexFileError, match="damaged"):
        open_index(saved)


@pytest.mark.parametrize("size", [0, 3, 40, 700])
def test_fault_13_truncated_index_fails_with_one_line(saved: Path, size: int) -> None:
    saved.write_bytes(saved.read_bytes()[:size])
    with pytest.raises(IndexFileError, match="damaged") as caught:
        open_index(saved)
    assert "\n" not in str(caught.value)


def test_fault_06_small_index_on_a_full_disk_fails(tmp_path: Path) -> None:
    path = tmp_path / "exact.faiss"
    index = build_exact([unit_vectors(50)], DIM)
    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, old_limit[1]))
    try:
        with pytest.raises(IndexFileError, match="no space left"):
            write_index(index, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_handler)
    assert not path.exists()


def test_fault_06_a_full_device_fails(tmp_path: Path) -> None:
    path = tmp_path / "exact.faiss"
    path.symlink_to("/dev/full")  # A link, because the partial file is removed.
    with pytest.raises(IndexFileError, match=r"exact\.faiss cannot be written: no space left"):
        write_index(build_exact([unit_vectors(5)], DIM), path)
    assert not path.is_symlink()


def test_fault_07_a_missing_folder_fails(tmp_path: Path) -> None:
    with pytest.raises(IndexFileError, match="No such file or directory"):
        write_index(build_exact([unit_vectors(5)], DIM), tmp_path / "none" / "exact.faiss")


def test_approximate_index_is_written(tmp_path: Path) -> None:
    vectors = unit_vectors(200)
    index = faiss.index_factory(DIM, "IVF4,SQ8", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    write_index(index, tmp_path / "part-000.faiss")
    assert open_index(tmp_path / "part-000.faiss", dim=DIM, rows=200).ntotal == 200


@pytest.mark.parametrize(
    "factory", sorted({one.factory(400) or "" for one in candidates(64)} - {""})
)
def test_small_indexes_of_all_kinds_can_be_read(factory: str, tmp_path: Path) -> None:
    """For fast scans FAISS checks the size of a table that is larger than the rows."""
    rows = unit_vectors(400, dim=64)
    built = build_approximate(factory, rows, [rows])
    write_index(built, tmp_path / "part.faiss")
    again = open_index(tmp_path / "part.faiss", dim=64, rows=400)
    queries = unit_vectors(5, dim=64, seed=1)
    np.testing.assert_array_equal(again.search(queries, 3)[1], built.search(queries, 3)[1])
