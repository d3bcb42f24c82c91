import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from indexes.errors import RetrievalError
from retrieval.errors import QueryError, StorageError
from retrieval.types import Medium
from support.commands import run
from support.vector_items import directions, item_of, write_items


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    rows, scenes = np.repeat(directions(2), 2, axis=0), directions(9, 2)
    write_items(
        tmp_path / "c",
        [
            *(item_of(f"{n}.jpg", Medium.IMAGE, rows[n : n + 1]) for n in range(4)),
            item_of("film.mp4", Medium.VIDEO, scenes),
            item_of("clip.mp4", Medium.VIDEO, scenes[3:7]),
        ],
    )
    return tmp_path / "c"


def test_formats(collection: Path) -> None:
    table = run("dups", collection)
    assert "6 items in 3 groups" in table
    assert "0:00-0:08 = 0:06-0:14" in table
    groups = json.loads(run("dups", collection, "--format", "json"))["groups"]
    assert [[item["item_id"] for item in group["items"]] for group in groups] == [
        [0, 1],
        [2, 3],
        [4, 5],
    ]
    rows = list(csv.DictReader(io.StringIO(run("dups", collection, "--format", "csv"))))
    assert [row["nearest"] for row in rows] == ["1", "0", "3", "2", "5", "4"]
    assert rows[5]["overlaps"] == "0:00-0:08 = 0:06-0:14"
    assert run("dups", collection, "--format", "paths").split() == [
        "/archive/1.jpg",
        "/archive/3.jpg",
        "/archive/clip.mp4",
    ]


def test_files(collection: Path, tmp_path: Path) -> None:
    run("dups", collection, "--out", tmp_path / "g.parquet", "--gallery", tmp_path / "g.html")
    assert (tmp_path / "g.parquet").read_bytes().startswith(b"PAR1")
    assert (tmp_path / "g.html").read_text().count("<article") == 6


def test_nothing_alike(tmp_path: Path) -> None:
    write_items(tmp_path / "c", [item_of("one.jpg", Medium.IMAGE, directions(1))])
    assert "no near-duplicates" in run("dups", tmp_path / "c")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("--threshold", "2"), QueryError, "the threshold must be a cosine"),
        (("--space", "nowhere"), RetrievalError, "no space 'nowhere'"),
        (("--out", "g.xml"), QueryError, "the formats are"),
        (("--gallery", "nowhere/g.html"), StorageError, "nowhere/g.html"),
    ],
)
def test_bad_input_is_one_line(
    collection: Path, arguments: tuple[str, ...], error: type[RetrievalError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        run("dups", collection, *arguments)
    assert "\n" not in str(caught.value)
