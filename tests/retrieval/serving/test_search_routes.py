"""`/api/search` against the library, and its limits."""

from __future__ import annotations

import asyncio
import io
import json
import re
import struct
import time
import zlib
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest
from PIL import Image

from retrieval.collection import Collection
from retrieval.columns.types import json_value
from retrieval.search.query import Query, Term
from retrieval.search.result_json import as_json
from retrieval.serving import bodies, limits
from retrieval.serving.access import Access
from retrieval.serving.app import create_app
from support.media_files import make_tone, sound_bytes
from support.served_toys import HOST
from support.toy_encoder import ToyEncoder


def expected(root: Path, query: object, **options: object) -> list[dict[str, object]]:
    """The hits that `search --format json` prints."""
    result = Collection(root, device="cpu").answer(query, **options)
    document = json.loads(json.dumps(as_json(result), default=json_value))
    return document["hits"]


def hits(client, query: str) -> list[dict[str, object]]:
    answer = client.get(f"/api/search?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["hits"]


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("q=red", {}),
        ("q=green&to=image&k=3", {"to": ["image"], "k": 3}),
        ("q=high&to=music&to=video", {"to": ["music", "video"]}),
        ("q=white&to=moment&k=4", {"to": ["moment"], "k": 4}),
        ("q=red&offset=2&k=2", {"offset": 2, "k": 2}),
        ("q=red&where=width%20%3E%2040&where=height%20%3C%20100", {"where": ["width > 40"]}),
        ("q=red&min_score=0.5", {"min_score": 0.5}),
        ("q=red&cutoff=true", {"cutoff": True}),
    ],
)
def test_hits_are_those_of_the_library(shared, query: str, options: dict[str, object]) -> None:
    text = query.partition("&")[0].removeprefix("q=")
    answer = shared.client.get(f"/api/search?{query}").json()
    assert answer["query"] == text
    assert answer["hits"] == expected(shared.root, text, **options)
    assert {"encode", "filter", "text", "search", "localize"} == set(answer["took_ms"])


def test_a_sum_of_texts_is_parsed(shared) -> None:
    text = '"red" + 0.5*"green" - "blue"'
    answer = shared.client.get("/api/search", params={"q": text}).json()
    assert answer["hits"] == expected(shared.root, text)


def test_more_and_less_like_items_are_weighted_sums(shared) -> None:
    red, blue = shared.ids["red.png"], shared.ids["blue.png"]
    answer = shared.client.get(f"/api/search?q=green&like={red}:0.5&like={blue}:-2").json()
    terms = (Term("green"), Term(item_id=red, weight=0.5), Term(item_id=blue, weight=-2.0))
    assert answer["hits"] == expected(shared.root, Query(terms))
    assert not {red, blue} & {hit["item_id"] for hit in answer["hits"]}
    alone = hits(shared.client, f"like={red}")
    assert alone == expected(shared.root, Query.like(red))


@pytest.mark.parametrize(
    "like", ["", "x", "1:", "1:x", "1:nan", "1:1e999", "1:inf", "-1", "1:2:3", "9" * 19]
)
def test_an_invalid_item_is_refused(shared, like: str) -> None:
    assert shared.client.get("/api/search", params={"like": like}).status_code == 422


def test_an_unknown_item_is_refused(shared) -> None:
    answer = shared.client.get(f"/api/search?like={10**17}")
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(f"no item has the id {10**17}")


def test_pages_follow_each_other(shared) -> None:
    address = "/api/search?q=red&k=4&to=image"
    pages = []
    while address:
        answer = shared.client.get(address).json()
        pages += answer["hits"]
        address = answer["next"] and urljoin(address, answer["next"])
    assert pages == expected(shared.root, "red", to=["image"], k=20)


def test_an_empty_query_lists_the_newest_items(shared) -> None:
    known = {
        uri: (shared.media / "some.tar" if "!" in uri else Path(uri)).stat().st_mtime
        for uri in (hit["uri"] for hit in hits(shared.client, "k=20"))
    }
    assert len(known) == 10
    first = shared.client.get("/api/search?k=6").json()
    second = shared.client.get(urljoin("/api/search", first["next"])).json()
    assert [hit["rank"] for hit in first["hits"] + second["hits"]] == list(range(1, 11))
    assert second["next"] is None
    assert first["hits"][0]["score"] is None
    videos = hits(shared.client, "to=video")
    assert [hit["item_id"] for hit in videos] == [shared.ids["film.mp4"]]
    narrow = hits(shared.client, "where=uri%20LIKE%20%27%25red%25%27")
    assert [hit["item_id"] for hit in narrow] == [shared.ids["red.png"]]


def test_the_cutoff_counts_what_it_hides(
    indexed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retrieval.encoders.catalogue import load_encoder
    from support.served_toys import served

    # Other tests of this module are served toys.
    monkeypatch.setattr("retrieval.search.open_collection.load_encoder", load_encoder)

    root = indexed.root
    with served(root, cache=tmp_path) as (client, _):
        everything = client.get("/api/search?q=a+red+circle&k=20").json()
        likely = client.get("/api/search?q=a+red+circle&k=20&cutoff=true").json()
    shown = [hit["item_id"] for hit in everything["hits"] if hit["likely"]]
    assert [hit["item_id"] for hit in likely["hits"]] == shown
    assert (everything["hidden"], likely["hidden"]) == (0, 20 - len(shown))
    assert 0 < len(shown) < 20


@pytest.mark.parametrize(
    "query",
    [
        "q=red&k=0", "q=red&k=501", "q=red&k=x", f"q=red&k={10**20}", "q=red&offset=-1",
        "q=red&offset=10001", "q=red&to=nothing", "q=red&min_score=nan", "q=red&nothing=1",
        f"q={'a' * 5_000}", "q=red&text=maybe", "q=red&where=", "q=red&where=DROP+TABLE",
        "q=red&where=read_text('/etc/passwd')", "q=%22red%22+%2B", "q=%22a%22+-+%22a%22",
        f"q=red&where={'(' * 3_000}", "file=0", f"like={'1&like=' * 40}1",
    ],
)  # fmt: skip
def test_fault_34_invalid_parameters_are_refused_with_one_line(shared, query: str) -> None:
    answer = shared.client.get(f"/api/search?{query}")
    assert answer.status_code == 422
    assert "\n" not in answer.json()["error"]
    assert str(shared.root) not in answer.text


@pytest.mark.parametrize("collection", ["x", "..", "%2e%2e%2f", "toys/"])
def test_another_collection_is_not_found(shared, collection: str) -> None:
    assert shared.client.get(f"/api/search?q=red&collection={collection}").status_code == 404


@pytest.mark.parametrize("form", ["@{}", '@"{}"', "red + @{}", '"red" + @{}', '"red" - 2*@"{}"'])
def test_fault_35_a_query_opens_no_file(shared, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError(f"a query looked for a file: {arguments}")

    monkeypatch.setattr("retrieval.search.expression.os.path.isfile", refuse)
    path = shared.media / "red.png"
    answer = shared.client.get("/api/search", params={"q": form.format(path)})
    assert answer.status_code in (200, 422)
    if answer.status_code == 200:
        assert answer.json()["query"] == form.format(path)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["red.png", "low.wav", "film.mp4"])
def test_a_file_is_found_by_its_content(shared, name: str) -> None:
    content = (shared.media / name).read_bytes()
    headers = {"content-type": "text/html"}  # it does not count
    answer = shared.client.post("/api/search?k=3", content=content, headers=headers).json()
    assert [(hit["item_id"], round(hit["score"], 4)) for hit in answer["hits"]] == [
        (hit["item_id"], round(hit["score"], 4))
        for hit in expected(shared.root, Query((Term(path=str(shared.media / name)),)), k=3)
    ]


def test_a_sent_file_can_be_used_again_with_other_terms(shared) -> None:
    content = (shared.media / "red.png").read_bytes()
    answer = shared.client.post("/api/search?k=2", content=content).json()
    (digest,) = answer["file"]
    again = shared.client.get(urljoin("/api/search", answer["next"])).json()
    path = Query((Term(path=str(shared.media / "red.png")),))
    assert [hit["item_id"] for hit in again["hits"]] == [
        hit["item_id"] for hit in expected(shared.root, path, k=2, offset=2)
    ]
    mixed = Query((Term("blue"), Term(path=str(shared.media / "red.png"), weight=-0.5)))
    answer = shared.client.get(f"/api/search?q=blue&file={digest}:-0.5").json()
    assert [hit["item_id"] for hit in answer["hits"]] == [
        hit["item_id"] for hit in expected(shared.root, mixed)
    ]
    unknown = shared.client.get(f"/api/search?file={'0' * 64}")
    assert (unknown.status_code, unknown.json()["error"]) == (
        404, "the file 00000000 is not known; send it again",
    )  # fmt: skip


def png_header(side: int) -> bytes:
    """A PNG that declares many pixels and holds none of them."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


def with_size(kind: str, side: int) -> bytes:
    """A small picture whose header declares another size."""
    if kind == "PNG":
        return png_header(side)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, kind)
    content = bytearray(buffer.getvalue())
    if kind == "JPEG":
        start = content.index(b"\xff\xc0") + 5
        struct.pack_into(">HH", content, start, side, side)
    elif kind == "GIF":
        struct.pack_into("<HH", content, 6, side, side)
    else:
        struct.pack_into("<ii", content, 18, side, side)
    return bytes(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP"])
def test_fault_34_an_image_of_40000_by_40000_pixels_is_too_large(shared, kind: str) -> None:
    answer = shared.client.post("/api/search", content=with_size(kind, 40_000))
    assert answer.status_code == 413
    assert re.fullmatch("(over|.* at most) [0-9,]+ .*; make it smaller", answer.json()["error"])
    assert shared.client.get("/health").status_code == 200


def test_fault_34_a_recording_that_is_too_long_is_refused(
    shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.serving.file_queries.MAX_MEDIA_SECONDS", 3.0)
    content = sound_bytes(make_tone(9, 8_000), 8_000)
    answer = shared.client.post("/api/search", content=content)
    assert (answer.status_code, answer.json()["error"]) == (
        413, "longer than 3 seconds; cut out the part to search for",
    )  # fmt: skip


@pytest.mark.parametrize(
    "content", [b"hello", b"<svg/>", b"\xff\xd8\xff\xe0 cut", b"#EXTM3U\n/etc/passwd\n", b"\0" * 99]
)
def test_what_is_no_media_is_refused(shared, content: bytes) -> None:
    answer = shared.client.post("/api/search", content=content)
    assert answer.status_code == 422
    assert str(shared.root) not in answer.text


def test_an_empty_body_is_refused(shared) -> None:
    assert shared.client.post("/api/search").status_code == 422


def test_fault_34_a_body_over_the_limit_is_refused(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_BODY_BYTES", 1_000)
    declared = shared.client.post("/api/search", content=b"a" * 1_001)
    streamed = shared.client.post("/api/search", content=iter([b"a" * 600] * 2))
    for answer in (declared, streamed):
        assert (answer.status_code, answer.headers["connection"]) == (413, "close")


def test_fault_34_a_slow_body_is_given_up(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_PAUSE_SECONDS", 0.05)
    sent = [{"type": "http.request", "body": b"a", "more_body": True}]

    async def ask() -> list[dict[str, object]]:
        received: list[dict[str, object]] = []

        async def receive() -> dict[str, object]:
            return sent.pop() if sent else await asyncio.Event().wait()  # type: ignore[return-value]

        async def send(message: dict[str, object]) -> None:
            received.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/api/search", "query_string": b"",
            "headers": [(b"host", HOST.encode())], "http_version": "1.1", "scheme": "http",
            "raw_path": b"/api/search", "server": None, "client": None, "root_path": "",
            "asgi": {"version": "3.0"},
        }  # fmt: skip
        app = create_app(shared.services, Access(1, session=None))
        await app(scope, receive, send)
        return received

    messages = asyncio.run(ask())
    assert messages[0]["status"] == 408


def test_fault_34_a_full_disk_below_the_body_is_said(
    shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**options: object) -> io.RawIOBase:
        return open("/dev/full", "wb", buffering=0)

    monkeypatch.setattr(bodies.tempfile, "TemporaryFile", full)
    answer = shared.client.post("/api/search", content=b"abc")
    assert answer.status_code == 507
    assert "/dev/full" not in answer.text


def test_fault_34_a_full_queue_is_busy(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared.services.searches, "_limit", 0)
    answer = shared.client.get("/api/search?q=red")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    monkeypatch.undo()
    assert shared.client.get("/api/search?q=red").status_code == 200


def test_simultaneous_texts_share_batches(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that wait while the encoder is busy are encoded together."""
    encode = ToyEncoder.encode_text

    def slow(self, texts):
        time.sleep(0.02)
        return encode(self, texts)

    monkeypatch.setattr(ToyEncoder, "encode_text", slow)
    app = create_app(shared.services, Access(1, session=None))
    batchers = next(iter(shared.services.library)).batchers
    before = sum(batcher.batches for batcher in batchers)

    async def ask() -> list[int]:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            texts = [f"red number {number}" for number in range(100)]
            answers = [client.get("/api/search", params={"q": text, "k": 1}) for text in texts]
            return [answer.status_code for answer in await asyncio.gather(*answers)]

    assert asyncio.run(ask()) == [200] * 100
    assert sum(batcher.batches for batcher in batchers) - before < 100


def test_the_limits_are_those_of_the_documentation() -> None:
    page = (Path(__file__).parents[3] / "docs/serving.md").read_text()
    for value in (
        f"{limits.MAX_HITS} hits", f"offset of {limits.MAX_OFFSET:,}",
        f"{limits.MAX_QUERY_LENGTH:,} characters", f"{limits.MAX_BODY_BYTES >> 20} MiB",
        f"{limits.MAX_MEDIA_SECONDS / 60:g} minutes", f"{limits.MAX_RANGES} ranges",
        f"{limits.MAX_CLIP_SECONDS / 60:g} minutes", f"{limits.CACHE_BYTES >> 20} MiB",
    ):  # fmt: skip
        assert value in page, value
