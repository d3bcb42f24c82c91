import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from indexes.errors import DimensionMismatchError
from retrieval.errors import SourceError
from retrieval.exchange.sources import open_source


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def vectors(rows: int, dim: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


def clip_retrieval(folder: Path, *counts: int, dtype: type = np.float16) -> Path:
    """A folder as clip-retrieval's inference writes it."""
    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    for number, count in enumerate(counts):
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", vectors(count).astype(dtype))
        table = {
            "image_path": [f"{number}/{row}.jpg" for row in range(count)],
            "caption": [f"caption {row}" for row in range(count)],
            "similarity": [0.3] * count,
        }
        pq.write_table(pa.table(table), folder / "metadata" / f"metadata_{number}.parquet")
    return folder


def read(source: Path, **options: object) -> tuple[np.ndarray, list[dict[str, object]]]:
    blocks = list(open_source(source, **options).blocks())  # type: ignore[arg-type]
    rows = [dict(row) for block in blocks for row in block.rows]
    return np.concatenate([block.vectors for block in blocks]), rows


def test_clip_retrieval_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    folder = clip_retrieval(tmp_path / "out", *[2] * 11, 3)
    source = open_source(folder)
    assert (source.rows, source.dim, source.notices.lines()) == (25, 4, [])
    found, rows = read(folder)
    assert found.shape == (25, 4)
    assert [row["image_path"] for row in rows][4] == "2/0.jpg"
    assert [row["image_path"] for row in rows][-1] == "11/2.jpg"


def test_vectors_of_texts_are_left_out_with_a_notice(tmp_path: Path) -> None:
    folder = clip_retrieval(tmp_path / "out", 3)
    (folder / "text_emb").mkdir()
    np.save(folder / "text_emb" / "text_emb_0.npy", vectors(3))
    assert "text_emb/ is left out" in open_source(folder).notices.lines()[0]
    (tmp_path / "texts" / "text_emb").mkdir(parents=True)
    with pytest.raises(SourceError, match="only vectors of texts"):
        open_source(tmp_path / "texts")


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32(), 4),
        pa.list_(pa.float16(), 4),
        pa.list_(pa.float64()),
        pa.large_list(pa.float32()),
    ],
)
def test_parquet_with_any_list_of_floats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: pa.DataType
) -> None:
    monkeypatch.setattr("retrieval.exchange.vector_files.BLOCK_ROWS", 3)
    want = vectors(7).astype(np.float16)
    want[4, 1] = np.nan
    column = pa.array(list(want.astype(np.float32)), pa.list_(pa.float32())).cast(kind)
    table = pa.table({"path": [f"{n}.jpg" for n in range(7)], "v": column})
    pq.write_table(table, tmp_path / "v.parquet")
    found, rows = read(tmp_path / "v.parquet")
    np.testing.assert_array_equal(found.astype(np.float16), want)
    assert rows[6] == {"path": "6.jpg"}


def test_rows_without_a_vector_or_with_another_length_are_nan(tmp_path: Path) -> None:
    column = pa.array([[1.0, 0.0], None, [1.0], [], [0.0, None], [0.0, 1.0]])
    pq.write_table(pa.table({"embedding": column}), tmp_path / "v.parquet")
    found, _ = read(tmp_path / "v.parquet")
    assert np.isnan(found).any(axis=1).tolist() == [False, True, True, True, True, False]


def test_the_vector_column_is_found_or_named(tmp_path: Path) -> None:
    one = pa.array([[1.0, 0.0]])
    pq.write_table(pa.table({"a": one, "b": one}), tmp_path / "v.parquet")
    with pytest.raises(SourceError, match=r"several columns of vectors: a, b; name the"):
        open_source(tmp_path / "v.parquet")
    assert open_source(tmp_path / "v.parquet", vector_column="b").dim == 2
    with pytest.raises(SourceError, match="no column 'c' of vectors"):
        open_source(tmp_path / "v.parquet", vector_column="c")
    pq.write_table(pa.table({"a": [1.0]}), tmp_path / "n.parquet")
    with pytest.raises(SourceError, match="no column of vectors"):
        open_source(tmp_path / "n.parquet")
    pq.write_table(pa.table({"a": one, "embedding": one}), tmp_path / "e.parquet")
    assert open_source(tmp_path / "e.parquet").dim == 2


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("beside", [True, False])
def test_npy_with_metadata(tmp_path: Path, suffix: str, beside: bool) -> None:
    np.save(tmp_path / "v.npy", vectors(3))
    described = tmp_path / ("v" if beside else "other")
    described = described.with_suffix(f".{suffix}")
    if suffix == "csv":
        described.write_text("path,year\na.jpg,1\nb.jpg,2\nc.jpg,3\n")
    elif suffix == "jsonl":
        described.write_text(
            "".join(f'{{"path": "{n}.jpg", "year": {y}}}\n' for y, n in enumerate("abc", 1))
        )
    else:
        table = pa.table({"path": ["a.jpg", "b.jpg", "c.jpg"], "year": [1, 2, 3]})
        pq.write_table(table, described)
    _, rows = read(tmp_path / "v.npy", metadata=None if beside else described)
    assert rows == [{"path": f"{n}.jpg", "year": y} for y, n in enumerate("abc", 1)]


def test_metadata_of_another_file_than_npy_fails(tmp_path: Path) -> None:
    folder = clip_retrieval(tmp_path / "out", 2)
    with pytest.raises(SourceError, match=r"out is not a \.npy file, so .*rows\.csv cannot"):
        open_source(folder, metadata=tmp_path / "rows.csv")


def test_npy_without_metadata(tmp_path: Path) -> None:
    want = np.asfortranarray(vectors(5).astype(np.float64))
    np.save(tmp_path / "v.npy", want)
    found, rows = read(tmp_path / "v.npy")
    np.testing.assert_array_equal(found, want)
    assert rows == [{}] * 5


def test_fault_17_an_array_of_objects_is_never_unpickled(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    array = np.array([[Canary(canary)]], dtype=object)
    np.save(tmp_path / "v.npy", array, allow_pickle=True)
    with pytest.raises(SourceError, match=r"v\.npy is not a readable array of numbers"):
        open_source(tmp_path / "v.npy")
    (tmp_path / "p.npy").write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(SourceError, match=r"p\.npy is not a readable array of numbers"):
        open_source(tmp_path / "p.npy")
    assert not canary.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable array of numbers"),
        (b"\x93NUMPY\x01\x00\xff\xff", "not a readable array of numbers"),
        (b"hello", "not a readable array of numbers"),
    ],
)
def test_fault_12_damaged_arrays_fail(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "v.npy").write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        open_source(tmp_path / "v.npy")
    assert "\n" not in str(caught.value)


def test_fault_12_a_truncated_array_fails(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", vectors(100))
    whole = (tmp_path / "v.npy").read_bytes()
    (tmp_path / "v.npy").write_bytes(whole[:-5])
    with pytest.raises(SourceError, match="not a readable array of numbers"):
        open_source(tmp_path / "v.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(4), r"shape \(4,\), expected \(rows, dim\) floats"),
        (np.zeros((4, 4), np.bool_), "bool of shape"),
        (np.zeros((4, 4), np.complex64), "complex64 of shape"),
        (np.zeros((4, 0)), r"shape \(4, 0\)"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
    ],
)
def test_fault_31_arrays_of_another_kind(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(SourceError, match=message):
        open_source(tmp_path / "v.npy")


def test_metadata_with_another_number_of_rows_fails(tmp_path: Path) -> None:
    folder = clip_retrieval(tmp_path / "out", 3)
    np.save(folder / "img_emb" / "img_emb_0.npy", vectors(4))
    with pytest.raises(SourceError, match=r"holds 4 vectors, .*metadata_0\.parquet describes 3"):
        open_source(folder)
    (folder / "metadata" / "metadata_0.parquet").unlink()
    with pytest.raises(SourceError, match=r"metadata_0\.parquet is missing"):
        open_source(folder)


def test_files_with_vectors_of_two_lengths_fail(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", vectors(2, 4))
    np.save(tmp_path / "b.npy", vectors(2, 5))
    with pytest.raises(DimensionMismatchError, match=r"b\.npy holds 5-d vectors, .*a\.npy 4-d"):
        open_source(tmp_path)


def test_other_files_fail_as_sources(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        open_source(tmp_path / "nowhere")
    (tmp_path / "x.txt").touch()
    with pytest.raises(SourceError, match=r"expected a folder, a \.parquet or a \.npy file"):
        open_source(tmp_path / "x.txt")
    with pytest.raises(SourceError, match="holds neither"):
        open_source(tmp_path)
    (tmp_path / "v.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(SourceError, match=r"v\.parquet cannot be read"):
        open_source(tmp_path / "v.parquet")


def test_field_60_digits_of_other_scripts_in_a_name_are_text(tmp_path: Path) -> None:
    """ "²" and "٣" are digits to Python; int() refuses the one and takes the other for 3."""
    folder = tmp_path / "out"
    folder.mkdir()
    names = ["1²2.npy", "2.npy", "10.npy", "٣.npy", "Ⅷ.npy", "x²³.npy"]
    for number, name in enumerate(names):
        np.save(folder / name, np.full((1, 4), number + 1.0, np.float32))
    found, _ = read(folder)
    order = [int(row[0]) - 1 for row in found]
    assert sorted(order) == list(range(len(names)))
    assert order.index(1) < order.index(2)  # 2 before 10
