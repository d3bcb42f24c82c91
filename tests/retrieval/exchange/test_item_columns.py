"""Columns are converted with the results of converting their values one by one."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from retrieval.exchange.descriptions import Descriptions
from retrieval.exchange.item_columns import (
    caption_column,
    in_existing_folders,
    modality_codes,
    text_column,
)
from retrieval.exchange.item_rows import ItemReader
from retrieval.media.captions import MAX_CAPTION_CHARACTERS, join_captions
from retrieval.store.schema import MEDIUM_CODES
from retrieval.types import Medium

NAMES = [
    "a.jpg", "a/b.jpg", "./a.jpg", "a/../b.jpg", "a//b.jpg", "a/", "/", "/x", "/x/y.jpg", "/x/.y",
    "/x//y", "/x/y/", "100%.jpg", "é.jpg", "/é.jpg", "a b\n.jpg", "nul\0.jpg", "", ".", "..",
    ".hidden", "http://x.y/a.jpg", "HTTPS://x.y/é", "s3://b/\0", "a://", "1a://x", "x:/y", "C:\\y",
    "/tars/x.tar!m/n.jpg", None,
]  # fmt: skip


def names(values: list[Any], first_row: int, exported: bool, base: str = "/base") -> list[str]:
    reader = ItemReader(Path(base), exported=exported)
    columns = {"uri": pa.array(values, pa.string())}
    found = reader.uris(Descriptions(len(values), columns), Path("/in/v.parquet"), first_row)
    assert found.type == pa.string()
    return list(found.to_pylist())


@pytest.mark.parametrize("exported", [False, True])
@pytest.mark.parametrize("base", ["/base", "/b%/é", "/"])
def test_uris(exported: bool, base: str) -> None:
    reader = ItemReader(Path(base), exported=exported)
    expected = [
        reader.uri({"uri": value}, f"/in/v.parquet#{row}") for row, value in enumerate(NAMES, 7)
    ]
    assert names(NAMES, 7, exported, base) == expected
    for row, value in enumerate(NAMES, 7):  # all values of a column are alike
        assert names([value, value], row, exported, base)[0] == expected[row - 7]


def test_rows_without_names_have_the_file_and_a_number() -> None:
    reader = ItemReader(Path("/base"))
    found = reader.uris(Descriptions(2, {"n": pa.array([1, 2])}), Path("/in/a%b.npy"), 5)
    assert found.to_pylist() == ["/in/a%25b.npy#5", "/in/a%25b.npy#6"]


def test_captions() -> None:
    captions = [
        "a dog", "  spaces ", "", " ", '["x", "y"]', "[x", " [1]", "two\nlines", "tab\t", "\x1c x",
        "é", "a é b", "犬", " a 犬 b ", "a\u2028b", "\u3000a", "x" * (MAX_CAPTION_CHARACTERS + 1),
        f" {'x' * MAX_CAPTION_CHARACTERS} ", None,
    ]  # fmt: skip
    found = caption_column(pa.array(captions), len(captions)).to_pylist()
    assert found == [join_captions([caption]) for caption in captions]
    numbers = [1, None, 25]
    assert caption_column(pa.array(numbers), 3).to_pylist() == ["1", None, "25"]
    lists = [["a", "b"], None, []]
    assert caption_column(pa.array(lists), 3).to_pylist() == ["a\nb", None, None]
    assert caption_column(None, 2).to_pylist() == [None, None]


def test_modalities() -> None:
    reader = ItemReader(Path("/base"))
    uris = [
        "/a.jpg", "/b.jpg", "/.jpg", "/a..jpg", "/..jpg", "/c.JPG", "/d.mp4", "/e.wav",
        "/x.tar!a.wav", "/y!.jpg", "/z", "/d.jpg/z", "/1.webm", "/.mp4",
        *(f"/{number}.x{number}" for number in range(20)),
    ]  # fmt: skip
    named: list[str | None] = [None] * len(uris)
    named[1], named[6] = "audio", "odd"
    expected = [
        reader.modality({"modality": name}, uri) for uri, name in zip(uris, named, strict=True)
    ]
    found = modality_codes(pa.array(uris), pa.array(named), reader.modality_of_name)
    assert [MEDIUM_CODES[code] for code in found] == expected
    assert expected[1] is Medium.AUDIO


def test_texts_of_columns_of_any_type() -> None:
    assert text_column(pa.array(["a", None]).dictionary_encode()).to_pylist() == ["a", None]
    assert text_column(pa.array(["a"], pa.large_string())).to_pylist() == ["a"]
    assert text_column(pa.array([1.5, None])).to_pylist() == [None, None]
    invalid = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")]
    )
    assert text_column(invalid).to_pylist() == ["a", None]


def test_folders_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b").mkdir()
    (tmp_path / "file").touch()
    expected = {
        f"{tmp_path}/a%20b/x.jpg": True, f"{tmp_path}/a%20b": True, f"{tmp_path}/c/x.jpg": False,
        "x.jpg": True, "a%20b/x.jpg": True, "a%20b/": True, "": True, "/x": True, "c/x.jpg": False,
        "file/x.jpg": False, "http://host/x.jpg": False, "\n/x": False, "é/x": False,
    }  # fmt: skip
    found = in_existing_folders(pa.array(list(expected)))
    assert found.tolist() == list(expected.values())
    assert in_existing_folders(pa.array([], pa.string())).tolist() == []
