from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.own_rows import MIN_ROWS, OwnRows
from retrieval.errors import SourceError

ROWS, TEXTS, DIM = 1_020, 120, 7


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Rows of any length, the last ten of which repeat the first ten, and texts."""
    rng = np.random.default_rng(0)
    rows = 5 * rng.standard_normal((ROWS, DIM), np.float32)
    rows[-10:] = 2 * rows[:10]
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "texts.npy", rng.standard_normal((TEXTS, DIM)).astype(np.float16))
    return tmp_path / "rows.npy", tmp_path / "texts.npy"


def test_rows_have_unit_length_and_repetitions_are_left_out(files: tuple[Path, Path]) -> None:
    own = OwnRows(*files)
    assert (own.rows, own.left_out, own.dim) == (ROWS - 10, 10, DIM)
    rows = np.load(files[0])[:-10]
    expected = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    np.testing.assert_allclose(own.block(0, own.rows), expected, atol=1e-3)
    np.testing.assert_array_equal(own.block(5, 9), own.block(0, own.rows)[5:9])
    assert own.block(0, 3).dtype == np.float16


def test_a_repeated_row_between_others_is_skipped(files: tuple[Path, Path]) -> None:
    rows = np.load(files[0])
    rows[13] = rows[1]
    np.save(files[0], rows)
    own = OwnRows(*files)
    assert (own.rows, own.left_out) == (ROWS - 11, 11)
    expected = (rows[14:16] / np.linalg.norm(rows[14:16], axis=1, keepdims=True)).astype(np.float16)
    np.testing.assert_allclose(own.block(13, 15), expected, atol=1e-3)


def test_each_text_is_in_one_half(files: tuple[Path, Path]) -> None:
    texts = np.load(files[1])
    texts[50] = texts[7]
    np.save(files[1], texts)
    own = OwnRows(*files)
    assert own.tune.shape == own.ask.shape == ((TEXTS - 1) // 2, DIM)
    both = np.concatenate([own.tune, own.ask])
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1, atol=1e-6)
    unit = texts.astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    positions = (both @ unit.T).argmax(axis=1)
    np.testing.assert_allclose(both, unit[positions], atol=1e-6)
    assert len(set(positions)) == len(both)
    np.testing.assert_array_equal(OwnRows(*files).ask, own.ask)


def test_at_most_a_thousand_texts_are_in_each_half(files: tuple[Path, Path]) -> None:
    np.save(files[1], np.random.default_rng(1).standard_normal((2_500, DIM), np.float32))
    own = OwnRows(*files)
    assert own.tune.shape == own.ask.shape == (1_000, DIM)


def test_rows_have_the_name_in_the_file_beside_them(files: tuple[Path, Path]) -> None:
    unnamed = OwnRows(*files)
    assert unnamed.name == "rows.npy"
    (files[0].parent / "rows.txt").write_text("pictures of\tcats \nmade in 2020\n")
    assert OwnRows(*files).name == "pictures of cats"
    assert OwnRows(*files).digest == unnamed.digest
    np.save(files[1], np.load(files[1])[::-1])
    assert OwnRows(*files).digest != unnamed.digest


def _changed(path: Path, **changes: object) -> None:
    array = np.load(path).astype(np.float32)
    for place, value in changes.items():
        array[int(place[1:])] = value
    np.save(path, array)


@pytest.mark.parametrize(("value", "problem"), [(np.nan, "NaN or infinite numbers"),
                                                (np.inf, "NaN or infinite numbers"),
                                                (0.0, "only zeros")])  # fmt: skip
@pytest.mark.parametrize("which", [0, 1])
def test_rows_without_a_direction_fail(
    files: tuple[Path, Path], which: int, value: float, problem: str
) -> None:
    _changed(files[which], _17=value)
    with pytest.raises(SourceError, match=rf"{files[which].name}: row 17 has {problem}"):
        OwnRows(*files)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (np.ones((200, 8), np.float32), "texts.npy has 8 numbers per text, .*rows.npy has 7"),
        (np.ones((200, 7), np.float32), "texts.npy has 1 distinct vectors, expected at least 100"),
        (np.eye(7, dtype=np.float32), "texts.npy has 7 distinct vectors, expected at least 100"),
        (np.ones(7, np.float32), r"texts.npy has the shape \(7,\), expected \(rows, dimension\)"),
        (np.ones((2, 7), np.int64), "texts.npy has numbers of type int64, expected float16 or"),
    ],
)
def test_texts_that_do_not_fit_the_rows_fail(
    files: tuple[Path, Path], texts: np.ndarray, message: str
) -> None:
    np.save(files[1], texts)
    with pytest.raises(SourceError, match=message) as error:
        OwnRows(*files)
    assert "\n" not in str(error.value)


def test_too_few_rows_fail(files: tuple[Path, Path]) -> None:
    np.save(files[0], np.load(files[0])[: MIN_ROWS - 1])
    with pytest.raises(SourceError, match=r"rows\.npy has 999 distinct vectors, expected at least"):
        OwnRows(*files)


def test_files_that_are_no_arrays_fail(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"missing\.npy: No such file or directory; name a \.npy"):
        OwnRows(tmp_path / "missing.npy", files[1])
    (tmp_path / "text.npy").write_text("1, 2, 3")
    with pytest.raises(SourceError, match=r"text\.npy is not a \.npy array of numbers"):
        OwnRows(tmp_path / "text.npy", files[1])
    (tmp_path / "empty.npy").touch()
    with pytest.raises(SourceError, match=r"empty\.npy is not a \.npy array of numbers"):
        OwnRows(tmp_path / "empty.npy", files[1])
    np.savez(tmp_path / "several.npz", rows=np.ones((3, 3), np.float32))
    with pytest.raises(SourceError, match=r"several\.npz holds several arrays"):
        OwnRows(tmp_path / "several.npz", files[1])
    cut = files[0].read_bytes()[:-1_000]
    files[0].write_bytes(cut)
    with pytest.raises(SourceError, match=r"rows\.npy is not a \.npy array of numbers"):
        OwnRows(*files)
