from __future__ import annotations

import pyarrow as pa
import pytest

from retrieval.store import known_files
from retrieval.store.known_files import NAMES, KnownFiles
from retrieval.types import KnownFile

STATES = {
    "/a.jpg": KnownFile(0, 10, 1.5, "aa"),
    "/é 🙂.jpg": KnownFile(2, 20, 2.5, ""),
    "/c.tar!m.jpg": KnownFile(3, 10, 3.5, "cc"),
    "/d.jpg": KnownFile(7, 2**40, 0.0, "dd"),
}


def columns_of(states: list[tuple[str, KnownFile]]) -> list[pa.RecordBatch]:
    rows = [
        {"item_id": file.item_id, "uri": uri, "bytes": file.bytes, "mtime": file.mtime,
         "sha256": file.sha256}
        for uri, file in states
    ]  # fmt: skip
    batches = [
        pa.RecordBatch.from_pylist(rows[first : first + 3]) for first in range(0, len(rows), 3)
    ]
    return [batch.select(NAMES) for batch in batches]


@pytest.fixture(params=["different hashes", "equal hashes"])
def files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> KnownFiles:
    if request.param == "equal hashes":
        monkeypatch.setattr(known_files, "hash", lambda uri: 5, raising=False)
    return KnownFiles(columns_of(list(STATES.items())))


def test_it_is_a_mapping_in_the_order_of_the_items(files: KnownFiles) -> None:
    assert files == STATES
    assert list(files) == list(STATES)
    assert list(files.items()) == list(STATES.items())
    assert files["/c.tar!m.jpg"] == KnownFile(3, 10, 3.5, "cc")
    assert files.get("/b.jpg") is None
    assert "/b.jpg" not in files
    assert files.uris_of_size(10) == ["/a.jpg", "/c.tar!m.jpg"]
    assert files.uris_of_size(11) == []
    assert KnownFiles() == {}


def test_renamed_files_are_the_last_ones(files: KnownFiles) -> None:
    expected = dict(STATES)
    for old, new in (("/a.jpg", "/z.jpg"), ("/z.jpg", "/y.jpg"), ("/d.jpg", "/a.jpg")):
        expected[new] = expected.pop(old)
        assert files.rename(old, new) == expected[new]
        assert list(files.items()) == list(expected.items())
        assert len(files) == len(expected)
        assert "/d.jpg" in files or old == "/d.jpg"
    assert files.uris_of_size(10) == ["/c.tar!m.jpg", "/y.jpg"]
    assert files["/a.jpg"] == KnownFile(7, 2**40, 0.0, "dd")


def test_the_last_item_of_a_uri_counts() -> None:
    states = [*STATES.items(), ("/a.jpg", KnownFile(9, 1, 1.0, "x"))]
    files = KnownFiles(columns_of(states))
    assert files == {**STATES, "/a.jpg": KnownFile(9, 1, 1.0, "x")}
    assert len(files) == 4


def test_many_uris_are_found_at_once(files: KnownFiles) -> None:
    uris = pa.array(["/a.jpg", "/b.jpg", "/é 🙂.jpg", "/moved.jpg", "/d.jpg", "/a.jp"])
    assert files.contains(uris).tolist() == [True, False, True, False, True, False]
    files.rename("/d.jpg", "/moved.jpg")
    assert files.contains(uris).tolist() == [True, False, True, True, False, False]
    assert KnownFiles().contains(uris).tolist() == [False] * 6
