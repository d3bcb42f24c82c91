"""Media on an S3 server of the loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retrieval.embedding.options import EmbedOptions, EmbedReport
from retrieval.embedding.run import embed
from retrieval.errors import MissingExtraError, SourceError
from retrieval.files.objects import file_system, is_object, object_status, open_object
from retrieval.media.sources.find import find_sources
from retrieval.media.sources.listing import Listing
from retrieval.store.reader import Snapshot
from support.collection_rows import rows_by_uri
from support.media_files import make_tone, picture_bytes, sound_bytes, write_tar
from support.object_store import BUCKET, object_store, put_folder
from support.toy_runs import pictures

pytest.importorskip("s3fs")
pytest.importorskip("moto")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with object_store(monkeypatch) as system:
        yield system


@pytest.fixture
def media(store: Any, tmp_path: Path) -> Path:
    """Three pictures, a recording and a tar, in a folder and in the bucket."""
    folder = pictures(tmp_path / "media", "red", "green", "blue")
    (folder / "sub").mkdir()
    (folder / "sub/tone 100%.wav").write_bytes(sound_bytes(make_tone(5.0)))
    write_tar(folder / "more.tar", {f"{n}.jpg": picture_bytes(seed=n) for n in range(2)})
    (folder / "notes.xyz").write_text("no media")
    put_folder(store, folder, f"{BUCKET}/photos")
    return folder


OPTIONS = EmbedOptions(("toy:toy", "toy:toy-music"), workers=0)


def test_only_addresses_of_stores_are_objects() -> None:
    found = [p for p in ("s3://b/k", "gs://b", "/a/s3://b", "https://a/b", "c.jpg") if is_object(p)]
    assert found == ["s3://b/k", "gs://b"]


def test_an_object_is_read_in_ranges_with_its_size_and_time(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setattr("retrieval.files.objects.RANGE_BYTES", 1000)
    content = bytes(range(256)) * 20
    store.pipe_file("bucket/a.bin", content)
    status = object_status(f"{BUCKET}/a.bin")
    with open_object(f"{BUCKET}/a.bin") as file:
        assert file.read() == content
        copied = os.fstat(file.fileno())
    assert (copied.st_size, copied.st_mtime) == (status.st_size, status.st_mtime)
    assert status.st_size == len(content)
    assert status.st_mtime > 1.7e9
    assert status.st_ino == 0
    with pytest.raises(FileNotFoundError):
        open_object(f"{BUCKET}/b.bin")


def test_a_prefix_a_pattern_and_an_object_are_listed(media: Path) -> None:
    listing = Listing(("*.tar",))
    names = [s.path.removeprefix(f"{BUCKET}/photos/")
             for s in find_sources([f"{BUCKET}/photos"], listing=listing)]  # fmt: skip
    assert names == ["blue.png", "green.png", "red.png", "sub/tone 100%.wav"]
    assert listing.skipped == {".xyz": 1}
    found = list(find_sources([f"{BUCKET}/photos/*.png", f"{BUCKET}/photos/more.tar"]))
    assert [(s.path.rpartition("/")[2], s.is_tar) for s in found] == [
        ("blue.png", False), ("green.png", False), ("red.png", False), ("more.tar", True)
    ]  # fmt: skip
    (source,) = find_sources([f"{BUCKET}/photos/sub/tone 100%.wav"])
    assert source.uri == f"{BUCKET}/photos/sub/tone 100%25.wav"
    with pytest.raises(SourceError, match="no such object; check the address"):
        list(find_sources([f"{BUCKET}/nothing"]))
    with pytest.raises(SourceError, match="s3://other/photos: "):
        list(find_sources(["s3://other/photos"]))


def test_embedding_a_prefix_equals_embedding_the_folder(
    media: Path, store: Any, tmp_path: Path, encoded: list[int]
) -> None:
    embed([media], tmp_path / "local", OPTIONS)
    report = embed([f"{BUCKET}/photos"], tmp_path / "c", OPTIONS)
    assert (sum(report.added.values()), report.failed) == (6, 0)
    expected = {
        uri.replace(str(media), f"{BUCKET}/photos"): row[3]
        for uri, row in rows_by_uri(tmp_path / "local").items()
    }
    assert {uri: row[3] for uri, row in rows_by_uri(tmp_path / "c").items()} == expected
    encoded.clear()
    report = embed([f"{BUCKET}/photos"], tmp_path / "c", OPTIONS)
    assert (report.unchanged, encoded) == (6, [])
    store.rm_file("bucket/photos/red.png")
    report = embed([f"{BUCKET}/photos"], tmp_path / "c", EmbedOptions(workers=0, prune=True))
    assert report.pruned == 1
    assert len(Snapshot.open(tmp_path / "c").item_ids()) == 5


def test_a_list_names_objects(media: Path, tmp_path: Path, run: Callable[..., EmbedReport]) -> None:
    rows = ["path,caption", f"{BUCKET}/photos/red.png,warm", f"{BUCKET}/photos/none.png,cold"]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    report = run(tmp_path / "list.csv")
    assert [failure.uri for failure in report.failures] == [f"{BUCKET}/photos/none.png"]
    (row,) = rows_by_uri(tmp_path / "c").values()
    assert row[0]["caption"] == "warm"  # type: ignore[index]


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    def missing(*arguments: object, **options: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(MissingExtraError, match=r"s3:// needs s3fs; install retrieval\[s3\]"):
        file_system("s3://bucket/a")
