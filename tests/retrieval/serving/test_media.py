"""Files by id: exactly the recorded bytes, or a status that says why not."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrieval.serving.item_files import item_record
from retrieval.serving.limits import MAX_RANGES
from retrieval.serving.media_types import OTHER, media_type
from support import served_toys

JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 60


def test_a_file_is_sent_as_it_is(shared) -> None:
    answer = shared.client.get(shared.url("media", "red.png"))
    assert answer.content == (shared.media / "red.png").read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["content-disposition"] == "inline; filename*=utf-8''red.png"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_head_has_the_headers_of_get_and_no_body(shared) -> None:
    url = shared.url("media", "red.png")
    head, get = shared.client.head(url), shared.client.get(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == get.headers


def test_a_known_etag_is_not_sent_again(shared) -> None:
    url = shared.url("media", "red.png")
    etag = shared.client.get(url).headers["etag"]
    for value in (etag, f'"x", W/{etag}', "*"):
        answer = shared.client.get(url, headers={"if-none-match": value})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    assert shared.client.get(url, headers={"if-none-match": '"x"'}).status_code == 200


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-9", (0, 10)), ("bytes=10-", (10, None)), ("bytes=-7", (-7, None)),
        ("bytes=5-999999", (5, None)), ("bytes=0-4,5-9", (0, 10)),
    ],
)  # fmt: skip
def test_a_range_is_sent(shared, header: str, span: tuple[int, int | None]) -> None:
    content = (shared.media / "film.mp4").read_bytes()
    answer = shared.client.get(shared.url("media", "film.mp4"), headers={"range": header})
    assert answer.status_code == 206
    assert answer.content == content[slice(*span)]
    start = content.index(answer.content)
    assert answer.headers["content-range"] == (
        f"bytes {start}-{start + len(answer.content) - 1}/{len(content)}"
    )


def test_several_ranges_are_sent_as_parts(shared) -> None:
    content = (shared.media / "film.mp4").read_bytes()
    headers = {"range": "bytes=0-4,100-104"}
    answer = shared.client.get(shared.url("media", "film.mp4"), headers=headers)
    assert answer.status_code == 206
    kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    first, second = answer.content.split(f"--{boundary}".encode())[1:3]
    assert first.endswith(b"\r\n\r\n" + content[:5] + b"\r\n")
    assert second.endswith(b"\r\n\r\n" + content[100:105] + b"\r\n")
    assert len(answer.content) == int(answer.headers["content-length"])


@pytest.mark.parametrize("header", ["bytes=5-2", "bytes=a-b", "items=0-1", "bytes=", "bytes=-"])
def test_a_malformed_range_is_ignored(shared, header: str) -> None:
    answer = shared.client.get(shared.url("media", "red.png"), headers={"range": header})
    assert answer.status_code == 200


def test_a_range_after_the_end_is_refused(shared) -> None:
    answer = shared.client.get(shared.url("media", "red.png"), headers={"range": "bytes=9999-"})
    size = (shared.media / "red.png").stat().st_size
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")


def test_fault_34_three_thousand_ranges_are_refused(shared) -> None:
    ranges = ",".join(f"{number}-{number}" for number in range(0, 6_000, 2))
    url = shared.url("media", "film.mp4")
    answer = shared.client.get(url, headers={"range": f"bytes={ranges}"})
    assert answer.status_code == 416
    assert answer.json()["error"] == f"more than {MAX_RANGES} ranges in one request"


def test_a_range_of_another_version_is_the_whole_file(shared) -> None:
    url = shared.url("media", "red.png")
    etag = shared.client.get(url).headers["etag"]
    headers = {"range": "bytes=0-9"}
    assert shared.client.get(url, headers=headers | {"if-range": etag}).status_code == 206
    assert shared.client.get(url, headers=headers | {"if-range": '"x"'}).status_code == 200


@pytest.mark.parametrize("route", ["media", "thumbnails", "waveforms", "curves", "clips"])
@pytest.mark.parametrize(
    "item", ["99999999999999999999", "9" * 18, "-1", "1e3", "%2e%2e%2fetc", "..%2f..", "x", "1%00"]
)
def test_fault_35_an_id_that_is_no_item_leads_nowhere(shared, route: str, item: str) -> None:
    query = {"curves": "?q=red", "clips": "?start=0&end=1"}.get(route, "")
    answer = shared.client.get(f"/{route}/toys/{item}{query}")
    assert answer.status_code == 404
    assert "/" not in answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/media/toys/..%2f..%2fetc%2fpasswd", "/%2e%2e%2f%2e%2e%2fetc/passwd", "/../app.py",
        "//etc/passwd", "/page/../app.py", "/index.html/", "/media/%2e%2e/0", "/media//0",
        "/..%5capp.py", "/index.html%00",
    ],
)  # fmt: skip
def test_fault_35_a_path_never_reaches_the_disk(shared, path: str) -> None:
    answer = shared.client.get(path)
    assert (answer.status_code, answer.json()["error"][:2]) == (404, "no")


@pytest.mark.parametrize("route", ["media", "thumbnails", "waveforms"])
def test_another_collection_is_not_known(shared, route: str) -> None:
    assert shared.client.get(f"/{route}/other/0").status_code == 404


# ---------------------------------------------------------------- changed files


@pytest.mark.parametrize("route", ["media", "thumbnails", "api/items"])
def test_fault_35_a_changed_file_is_gone(own, route: str) -> None:
    path = own.media / "red.png"
    shutil.copy(own.media / "green.png", path)
    answer = own.client.get(own.url(route, "red.png"))
    assert answer.status_code == 410
    assert answer.json()["error"] == (
        f"the file of item {own.ids['red.png']} was changed or deleted after it was embedded; "
        "embed it again"
    )


def test_a_file_of_equal_size_and_another_time_is_gone(own) -> None:
    os.utime(own.media / "red.png", (1, 1))
    assert own.client.get(own.url("media", "red.png")).status_code == 410


@pytest.mark.parametrize("name", ["red.png", "scarlet.png", "film.mp4"])
def test_a_deleted_file_is_gone(own, name: str) -> None:
    (own.media / ("some.tar" if name == "scarlet.png" else name)).unlink()
    assert own.client.get(own.url("media", name)).status_code == 410
    assert own.client.get("/health").status_code == 200


@pytest.mark.parametrize("kind", ["link", "FIFO", "folder", "device"])
def test_fault_35_what_replaces_a_file_is_not_read(own, kind: str, tmp_path: Path) -> None:
    path = own.media / "red.png"
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path.unlink()
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(secret if kind == "link" else "/dev/zero")
    answer = own.client.get(own.url("media", "red.png"))
    assert answer.status_code == 410
    assert b"secret" not in answer.content


def test_fault_35_a_link_that_is_swapped_during_a_request_changes_nothing(
    own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, secret = own.media / "red.png", tmp_path / "secret"
    content = path.read_bytes()
    secret.write_text("secret" * 100)
    opened = own.services.files.open

    def swap_after_opening(record):
        item = opened(record)
        path.unlink()
        path.symlink_to(secret)
        return item

    monkeypatch.setattr(own.services.files, "open", swap_after_opening)
    assert own.client.get(own.url("media", "red.png")).content == content


def test_removed_items_are_not_sent(own) -> None:
    from retrieval.store.writer import CollectionWriter

    url = own.url("media", "red.png")
    with CollectionWriter.open(own.root) as writer:
        writer.remove([own.ids["red.png"]])
    own.services.library.refresh()
    assert own.client.get(url).status_code == 404


def test_fault_35_an_imported_address_is_not_fetched(own) -> None:
    generation = next(iter(own.services.library)).current
    record = item_record(generation, 0)
    for uri in ("https://example.org/a.png", "file:///etc/passwd", "relative.png"):
        from dataclasses import replace

        from retrieval.serving.errors import HttpError

        with pytest.raises(HttpError, match="not on this machine"):
            own.services.files.open(replace(record, uri=uri))


# ---------------------------------------------------------------- archives


def test_a_member_of_a_tar_is_sent_with_ranges(shared) -> None:
    with tarfile.open(shared.media / "some.tar") as tar:
        member = tar.extractfile("in tar/scarlet.png")
        assert member is not None
        content = member.read()
    url = shared.url("media", "scarlet.png")
    answer = shared.client.get(url)
    assert answer.content == content
    assert answer.headers["content-disposition"] == "inline; filename*=utf-8''scarlet.png"
    assert shared.client.get(url, headers={"range": "bytes=3-9"}).content == content[3:10]
    assert shared.client.get(shared.url("thumbnails", "scarlet.png")).status_code == 200


def test_members_of_other_archives_are_sent(tmp_path: Path, monkeypatch) -> None:
    media = tmp_path / "media"
    media.mkdir()
    png = tmp_path / "inner.png"
    served_toys.noise_picture(20).save(png)
    with tarfile.open(tmp_path / "plain.tar", "w") as tar:
        tar.add(png, "a.png")
    with gzip.open(media / "packed.tar.gz", "wb") as packed:
        packed.write((tmp_path / "plain.tar").read_bytes())
    with tarfile.open(media / "nested.tar", "w") as tar:
        tar.add(tmp_path / "plain.tar", "inner.tar")
    rows = pa.table({"image": [{"bytes": png.read_bytes(), "path": "b.png"}]})
    pq.write_table(rows, media / "rows.parquet")
    served_toys.embed_toys(media, tmp_path / "c", monkeypatch.setattr)
    served_toys.use_toys_for_searching(monkeypatch.setattr)
    ids = served_toys.ids_by_name(tmp_path / "c")
    with served_toys.served(tmp_path / "c", cache=tmp_path / "cache") as (client, _):
        sent = [client.get(f"/media/c/{item}").content for item in ids.values()]
    assert len(sent) >= 2
    assert set(sent) == {png.read_bytes()}


# ---------------------------------------------------------------- types


@pytest.mark.parametrize(
    "head",
    [
        b"<!doctype html><script>alert(1)</script>", b"<svg xmlns='http://www.w3.org/2000/svg'>",
        b"<?xml version='1.0'?><svg>", b"  <html>", b"\xef\xbb\xbf<html>", b"%PDF-1.7", b"",
        b"II*\0" + b"\0" * 60, b"\0\0\0\x18ftypheic\0\0\0\0", b"RIFF\0\0\0\0AVI LIST",
        b"FWS\x09", b"PK\x03\x04",
    ],
)  # fmt: skip
def test_fault_35_html_svg_and_unknown_types_are_never_inline(head: bytes) -> None:
    assert media_type(head, sound_only=False) == OTHER


@pytest.mark.parametrize(
    ("head", "sound_only", "expected"),
    [
        (JPEG, False, "image/jpeg"), (b"RIFF\0\0\0\0WEBPVP8 ", False, "image/webp"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", False, "video/mp4"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", True, "audio/mp4"),
        (b"\0\0\0\x18ftypM4A \0\0\0\0", True, "audio/mp4"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", False, "image/avif"),
        (b"\x1aE\xdf\xa3", False, "video/webm"), (b"OggS", True, "audio/ogg"),
        (b"RIFF\0\0\0\0WAVEfmt ", True, "audio/wav"), (b"ID3\x04", True, "audio/mpeg"),
    ],
)  # fmt: skip
def test_types_are_recognized_by_content(head: bytes, sound_only: bool, expected: str) -> None:
    assert media_type(head, sound_only=sound_only) == expected


def test_a_file_without_a_known_type_is_saved_and_not_shown(tmp_path: Path, monkeypatch) -> None:
    media = tmp_path / "media"
    media.mkdir()
    served_toys.noise_picture(20).save(media / "scan.tiff")
    served_toys.embed_toys(media, tmp_path / "c", monkeypatch.setattr)
    served_toys.use_toys_for_searching(monkeypatch.setattr)
    with served_toys.served(tmp_path / "c", cache=tmp_path / "cache") as (client, _):
        answer = client.get("/media/c/0")
        assert answer.headers["content-type"] == OTHER
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert client.get("/api/items/c/0").json()["playable"] is False
