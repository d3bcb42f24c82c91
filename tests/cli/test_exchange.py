from pathlib import Path

import pytest

from indexes.errors import RetrievalError
from retrieval.errors import SourceError, StorageError
from retrieval.types import Medium
from support.commands import run
from support.vector_items import directions, item_of, write_items


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    items = [item_of(f"{n}.jpg", Medium.IMAGE, directions(1, n)) for n in range(4)]
    write_items(tmp_path / "c", [*items, item_of("a.mp4", Medium.VIDEO, directions(3, 9))])
    return tmp_path / "c"


@pytest.mark.parametrize("layout", ["clip-retrieval", "parquet", "npy"])
def test_out_and_in_again(collection: Path, tmp_path: Path, layout: str) -> None:
    said = run("export", collection, tmp_path / "out", "--to", layout)
    assert said.split() == [str(tmp_path / "out")]
    said = run("import", tmp_path / "out", "-c", tmp_path / "again")
    assert said.startswith("5 items added (4 image, 1 video)")
    assert "5 there already" in run("import", tmp_path / "out", "-c", tmp_path / "again")
    assert "5 (4 image, 1 video)" in run("status", tmp_path / "again")


def test_what_failed_is_told(tmp_path: Path) -> None:
    import numpy as np

    rows = np.ones((3, 256), np.float32)
    rows[1] = 0
    np.save(tmp_path / "v.npy", rows)
    said = run("import", tmp_path / "v.npy", "-c", tmp_path / "c", "--model", "tiny")
    assert "2 items added (2 image)" in said
    assert "1 failed; reasons in" in said


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("import", "nowhere", "-c", "{t}/x", "--model", "tiny"), SourceError, "no such file"),
        (("import", "{c}", "-c", "{t}/x", "--model", "tiny"), SourceError, "holds neither"),
        (("export", "{c}", "{c}", "--to", "npy"), StorageError, "name a new folder"),
        (("export", "{c}", "{t}/x", "--to", "npy", "--space", "z"), RetrievalError, "no space 'z'"),
        (("export", "{c}", "{t}/x", "--to", "faiss", "--approximate"), RetrievalError, "no approx"),
    ],
)
def test_bad_input_is_one_line(
    collection: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    error: type[RetrievalError],
    message: str,
) -> None:
    with pytest.raises(error, match=message) as caught:
        run(*(argument.format(c=collection, t=tmp_path) for argument in arguments))
    assert "\n" not in str(caught.value)
