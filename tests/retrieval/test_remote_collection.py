"""A connected collection answers as the local one does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import retrieval
from retrieval.collection import Collection
from retrieval.errors import MediaTooLargeError, QueryError, RetrievalError, ServerError
from retrieval.remote_collection import RemoteCollection
from retrieval.search.query import EmbeddedFile, Query, Term
from retrieval.serving import bodies
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, MediaInfo, Medium
from support import served_toys
from support.http_server import JsonHandler, http_server
from support.indexed_toys import PICTURES, segments
from support.page_server import page_server

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "the token of programs"


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Collection, RemoteCollection, Path]]:
    """One collection, opened locally and through a server, and its folder of media."""
    folder = tmp_path_factory.mktemp("remote")
    media = served_toys.write_media(folder / "media")
    (media / "film.srt").write_text(
        "1\n00:00:00,000 --> 00:00:02,000\nnight falls\n\n"
        "2\n00:00:02,000 --> 00:00:04,000\nthe old harbour\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        root = served_toys.embed_toys(media, folder / "toys", patch.setattr)
        local = Collection(root, device="cpu")
        local.index()
        with page_server(root, cache=folder / "cache", bearer=TOKEN) as address:
            yield local, retrieval.connect(address, token=TOKEN), media


def red(media: Path) -> Path:
    return media / "red.png"


WAYS = {
    "text": lambda media: ("red", {}),
    "targets": lambda media: ("high", {"to": ["music", "video"], "k": 3}),
    "one target": lambda media: ("green", {"to": "image"}),
    "moments": lambda media: ("white", {"to": ["moment"], "k": 4}),
    "pages": lambda media: ("red", {"offset": 2, "k": 3}),
    "past the end": lambda media: ("red", {"offset": 1_000}),
    "filter": lambda media: ("red", {"where": "width > 40"}),
    "filters": lambda media: ("red", {"where": ["width > 40", "uri LIKE '%below%'"]}),
    "ids": lambda media: ("red", {"ids": np.array([1, 3, 999])}),
    "no ids": lambda media: ("red", {"ids": []}),
    "cutoff": lambda media: ("red", {"cutoff": True}),
    "score": lambda media: ("red", {"min_score": 0.5}),
    "words": lambda media: ("old harbour", {}),
    "words alone": lambda media: ("old harbour", {"text": "only", "to": "moment"}),
    "phrase": lambda media: ('"old harbour"', {}),
    "excluded word": lambda media: ("night -harbour red", {}),
    "vectors alone": lambda media: ("old harbour", {"text": "off"}),
    "literal": lambda media: (Query.of_text("old harbour"), {}),
    "sum": lambda media: ('"red" + 0.25*"green" - "blue"', {}),
    "negative": lambda media: ('-"red"', {}),
    "quotes": lambda media: (Query((Term('a "red" \\ one', weight=0.1), Term("blue"))), {}),
    "weight": lambda media: (Query((Term("red", weight=1 / 3), Term("blue", weight=1e-7))), {}),
    "like": lambda media: (None, {"like": 2}),
    "like a film": lambda media: (Query.like(9), {"k": 20}),
    "path": lambda media: (red(media), {}),
    "name": lambda media: (f"@{red(media)}", {"to": "image", "offset": 1}),
    "recording": lambda media: (media / "low.wav", {}),
    "film": lambda media: (media / "film.mp4", {"to": ["moment", "image"]}),
    "packed": lambda media: (f"@{media}/some.tar!in tar/scarlet.png", {}),
    "picture": lambda media: (Image.new("RGBA", (9, 7), (0, 255, 0, 255)), {}),
    "array": lambda media: (np.full((8, 8, 3), (0, 0, 255), np.uint8), {"k": 2}),
}


@pytest.mark.parametrize("way", WAYS)
def test_answers_are_those_of_the_local_collection(both, way: str) -> None:
    local, remote, media = both
    query, options = WAYS[way](media)
    expected = local.answer(query, **options)
    answer = remote.answer(query, **options)
    assert answer.hits == expected.hits
    assert type(answer.hits) is type(expected.hits)
    assert [repr(hit) for hit in answer.hits] == [repr(hit) for hit in expected.hits]
    assert (answer.query, answer.hidden) == (expected.query, expected.hidden)
    assert remote.search(query, **options) == expected.hits


def test_some_hits_have_words_and_times(both) -> None:
    _, remote, media = both
    (hit,) = remote.search("old harbour", text="only", to="moment")
    assert hit.matched is not None
    assert hit.matched.text == "the old harbour"
    assert hit.uri == str(media / "film.mp4")


def test_a_sum_of_files_items_and_texts_is_as_close_as_its_terms_order_allows(both) -> None:
    local, remote, media = both
    query = Query((
        Term(path=str(red(media)), weight=0.5), Term(item_id=3), Term("blue", weight=-2.0),
        Term(path=str(media / "green.png")),
    ))  # fmt: skip
    expected, hits = local.search(query), remote.search(query)
    assert [hit.item_id for hit in hits] == [hit.item_id for hit in expected]
    assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in expected], abs=1e-6)


def test_the_status_is_that_of_the_local_collection(both) -> None:
    local, remote, _ = both
    assert remote.status() == local.status()
    assert remote.status().texts
    assert len(remote) == len(local)
    assert remote
    assert remote.name == "toys"
    assert "'toys'" in repr(remote)


def test_a_file_is_sent_once(both, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    local, remote, _ = both
    Image.new("RGB", (5, 5), (1, 200, 3)).save(tmp_path / "new.png")
    sent = []
    send = remote._client.post
    monkeypatch.setattr(
        remote._client, "post", lambda *arguments: (sent.append(1), send(*arguments))
    )
    first = remote.search(tmp_path / "new.png")
    assert remote.search(tmp_path / "new.png", k=3) == first[:3]
    assert sent == [1]
    assert first == local.search(tmp_path / "new.png")


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", {}),
        (None, {}),
        ("red", {"like": 1}),
        (None, {"like": 10**9}),
        ("red", {"k": 0}),
        ("red", {"k": 501}),
        ("red", {"k": "many"}),
        ("red", {"offset": -1}),
        ("red", {"to": "smell"}),
        ("red", {"text": "some"}),
        ("red", {"where": "nonsense ("}),
        ("red", {"where": "no_such_column = 1"}),
        ("red", {"min_score": float("nan")}),
        ("red", {"ids": ["x"]}),
        ("red", {"ids": range(10**6, 10**6 + 10_000)}),
        ("red", {"rerank": "tiny"}),
        ("red", {"with_vectors": True}),
        (None, {"vector": [1.0], "like": 1}),
        ("@/nowhere/at all.png", {}),
        ("x" * 5_000, {}),
        (Query.of_text("red -blue"), {}),
        (Query((Term(file=EmbeddedFile("x", {})),)), {}),
        ({"red"}, {}),
    ],
)
def test_invalid_searches_are_query_errors_of_one_line(both, query, options) -> None:
    with pytest.raises(QueryError) as raised:
        both[1].search(query, **options)
    assert "\n" not in str(raised.value)


def test_an_unknown_argument_is_a_type_error(both) -> None:
    with pytest.raises(TypeError, match="'limit'"):
        both[1].search("red", limit=3)
    assert both[1].search("red", rerank=None, with_vectors=False)


def test_a_damaged_file_is_refused(both, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    with pytest.raises(RetrievalError):
        both[1].search(tmp_path / "bad.png")


def test_a_file_that_is_too_large_is_refused(both, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bodies, "MAX_BODY_BYTES", 1 << 20)
    (tmp_path / "large.wav").write_bytes(bytes(8 << 20))
    with pytest.raises(MediaTooLargeError, match="longer than"):
        both[1].search(tmp_path / "large.wav")


# ---------------------------------------------------------------- the server


def test_the_token_must_be_right(both) -> None:
    address = both[1]._client.address
    with pytest.raises(ServerError, match="requires a token"):
        retrieval.connect(address)
    with pytest.raises(ServerError, match="refuses the token"):
        retrieval.connect(address, token="another token")
    with pytest.raises(QueryError, match="no collection 'x'; known: toys"):
        retrieval.connect(address, token=TOKEN, collection="x")
    assert retrieval.connect(f"{address}/", token=f"{TOKEN}\n", collection="toys").search("red")


@pytest.mark.parametrize(
    "address",
    ["", "x", "ftp://host/", "127.0.0.1:80", "http://", "http://h:99999", "http://h/?token=x",
     "http://me@h/", "http://h/a b", "http://[::1", "http://h/\N{SNOWMAN}"],
)  # fmt: skip
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(QueryError, match=r"address|percent-encoded"):
        retrieval.connect(address)


def test_a_token_with_a_line_is_refused() -> None:
    with pytest.raises(QueryError, match="printable"):
        retrieval.connect("http://127.0.0.1:1", token="a\r\nx: y")


def test_a_refused_connection_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(ServerError, match=r"does not answer \(Connection refused\)"):
        retrieval.connect(f"http://127.0.0.1:{port}")


def test_a_host_that_is_not_known_is_named() -> None:
    with pytest.raises(ServerError, match="does not answer"):
        retrieval.connect("http://host.invalid")


@contextmanager
def answering(*answers: tuple[int, bytes]) -> Iterator[str]:
    """A server that gives some answers in turn, and repeats the last one."""
    left = list(answers)

    class Handler(JsonHandler):
        def do_GET(self) -> None:  # noqa: N802
            status, content = left.pop(0) if len(left) > 1 else left[0]
            self.send(status, content, missing_bytes=5 * (status == 299))

    with http_server(Handler) as port:
        yield f"http://127.0.0.1:{port}"


HEALTH = json.dumps({"status": "ok", "version": retrieval.__version__}).encode()
COLLECTIONS = json.dumps({"collections": [{"collection": "c"}]}).encode()


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([(200, b"<html>")], "no retrieval server"),
        ([(200, b"[1]")], "no retrieval server"),
        ([(302, b"")], "returned status 302"),
        ([(500, b"{}")], "returned status 500"),
        ([(299, b"{")], "does not answer"),
        ([(200, b'{"version": "99.1.0"}')], "has version 99.1.0, this program"),
        ([(200, HEALTH), (503, b'{"error": "too many searches;\\n try again"}')], "too many.*try"),
    ],
)
def test_other_answers_are_server_errors(answers, message: str) -> None:
    with answering(*answers) as address, pytest.raises(ServerError, match=message) as raised:
        retrieval.connect(address)
    assert "\n" not in str(raised.value)


def test_a_server_that_ends_is_an_error_of_the_next_search() -> None:
    with answering((200, HEALTH), (200, COLLECTIONS)) as address:
        remote = retrieval.connect(address)
    with pytest.raises(ServerError, match="does not answer"):
        remote.search("red")
    with pytest.raises(ServerError, match="does not answer"):
        remote.status()


def test_an_answer_in_another_format_is_a_server_error() -> None:
    answer = {"generation": 1, "hits": [{"rank": 1}], "took_ms": {}, "hidden": 0}
    overview = {"collections": [{"collection": "c", "dates": {}}]}
    with answering(
        (200, HEALTH), (200, COLLECTIONS), (200, json.dumps(answer).encode()),
        (200, json.dumps(overview).encode()),
    ) as address:  # fmt: skip
        remote = retrieval.connect(address)
        with pytest.raises(ServerError, match="another format"):
            remote.search("red")


def test_dates_and_times_keep_their_types(tmp_path: Path, monkeypatch) -> None:
    served_toys.use_toys_for_searching(monkeypatch.setattr)
    monkeypatch.setattr("retrieval.search.open_collection.check_encoder", lambda *pair: None)
    columns = {
        "day": date(2024, 2, 29), "at": datetime(2024, 5, 6, 7, 8, 9, 10, UTC),
        "text": "2024-01-01", "number": 2, "share": 0.1, "yes": True,
    }  # fmt: skip
    with CollectionWriter.open(tmp_path / "c", create=True) as writer:
        writer.add_space(PICTURES)
        info = MediaInfo("/media/1", Medium.IMAGE, 1, 0.0, "1" * 64, columns=columns)
        writer.add(EmbeddedItem(info, {PICTURES.name: segments(Medium.IMAGE, 1, 1)}))
    expected = Collection(tmp_path / "c", device="cpu").search("red")
    with page_server(tmp_path / "c", cache=tmp_path / "cache") as address:
        hits = retrieval.connect(address).search("red")
    assert hits == expected
    assert [type(value) for value in hits[0].metadata.values()] == [
        type(value) for value in expected[0].metadata.values()
    ]
    assert hits[0].metadata["day"] == columns["day"]
    assert hits[0].metadata["at"] == columns["at"]


def test_connecting_loads_no_models() -> None:
    with answering((200, HEALTH), (200, COLLECTIONS)) as address:
        code = (
            f"import retrieval, sys; retrieval.connect({address!r})\n"
            "print([name for name in ('torch', 'open_clip', 'fastapi') if name in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert done.stdout.strip() == "[]"
