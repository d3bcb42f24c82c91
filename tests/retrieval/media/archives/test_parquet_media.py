"""Media inside Parquet files, as Hugging Face lays them out."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrieval.errors import DamagedMediaError
from retrieval.media.archives.members import list_members, open_member, open_members
from retrieval.media.files import OpenFile
from retrieval.media.sources.find import find_sources
from retrieval.types import Failure
from support.media_files import make_tone, picture_bytes, sound_bytes

CONTENTS = [picture_bytes("PNG", seed=n) for n in range(40)]


def write(path: Path, column: str = "image", **columns: Any) -> Path:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    names = [None if n == 1 else f"some/{n}.png" for n in range(len(CONTENTS))]
    values = [{"bytes": c, "path": n} for c, n in zip(CONTENTS, names, strict=True)]
    values[2] = {"bytes": None, "path": "gone.png"}
    table = pa.table({column: pa.array(values, kind), **columns})
    pq.write_table(table, path, row_group_size=7)
    return path


def test_field_40_images_in_parquet_are_items(tmp_path: Path) -> None:
    count = len(CONTENTS)
    path = write(
        tmp_path / "train.parquet",
        label=list(range(count)),
        text=[f"row {n}" for n in range(count)],
        file=["meta.jpg"] * count,
        thumb=[b"x"] * count,
    )
    (source,) = find_sources([str(path)])
    found = {}
    for event in open_members(source):
        name = event.uri.removeprefix(f"{path}!")
        if isinstance(event, OpenFile):
            found[name] = (event.file.read(), event.caption, event.columns)
        else:
            assert isinstance(event, Failure)
            assert (name, "no bytes" in event.reason) == ("3/gone.png", True)
    assert len(found) == count - 1
    assert found["1/0.png"] == (CONTENTS[0], "row 0", {"label": 0, "file": "meta.jpg"})
    assert found["2"] == (CONTENTS[1], "row 1", {"label": 1, "file": "meta.jpg"})
    for name, content in (
        ("40/39.png", CONTENTS[39]),
        ("2", CONTENTS[1]),
        ("8/7.png", CONTENTS[7]),
    ):
        with open_member(str(path), name) as file:
            assert file.read() == content
    assert list(list_members(str(path)))[:2] == [
        ("1/0.png", len(CONTENTS[0])),
        ("2", len(CONTENTS[1])),
    ]


def test_field_40_a_named_path_column_makes_it_a_list(tmp_path: Path) -> None:
    path = write(tmp_path / "train.parquet", where=[f"{n}.jpg" for n in range(len(CONTENTS))])
    sources = list(find_sources([str(path)], path_column="where"))
    assert [source.path for source in sources][:2] == [
        str(tmp_path / "0.jpg"),
        str(tmp_path / "1.jpg"),
    ]


@pytest.mark.parametrize("member", ["41", "0", "-1", "x", "", "1" * 30])
def test_field_40_a_missing_row_fails(tmp_path: Path, member: str) -> None:
    with (
        pytest.raises(DamagedMediaError, match="cannot be read"),
        open_member(str(write(tmp_path / "train.parquet")), member),
    ):
        pass


def test_field_40_sounds_and_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "train.parquet", "audio")
    sound = sound_bytes(make_tone(0.5))
    kind = pa.struct([("bytes", pa.large_binary()), ("path", pa.string())])
    pq.write_table(pa.table({"audio": pa.array([{"bytes": sound, "path": "a.wav"}], kind)}), path)
    (source,) = find_sources([str(path)])
    (opened,) = open_members(source)
    assert isinstance(opened, OpenFile)
    assert (opened.name, opened.file.read()) == ("1/a.wav", sound)
    content = bytearray(path.read_bytes())
    content[4:40] = bytes(36)
    path.write_bytes(content)
    (failure,) = open_members(source)
    assert isinstance(failure, Failure)
    assert "cannot be read" in failure.reason
