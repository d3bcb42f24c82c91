"""Servers that do not answer, refuse the key, are old, or are something else."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from retrieval.engines.qdrant import server as module
from retrieval.engines.qdrant.address import QdrantAddress
from retrieval.engines.qdrant.generations import collections
from retrieval.engines.qdrant.push import push
from retrieval.engines.qdrant.pushed import open_pushed
from retrieval.engines.qdrant.server import QdrantServer
from retrieval.errors import MissingExtraError, ServerError
from support import pushed_toys
from support.http_server import JsonHandler, http_server
from support.messages import logged

Answer = Callable[[str, str, str | None], tuple[int, Any]]
"""From method, path and key to a status and a body."""

VERSION = {"title": "qdrant - vector search engine", "version": "1.17.0"}


def ok(result: Any) -> tuple[int, Any]:
    return 200, {"result": result, "status": "ok", "time": 0.0}


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """Serve answers at a port; yield the address."""

    class Handler(JsonHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            status, body = answer(self.command, self.path, self.headers.get("api-key"))
            self.send(status, body if isinstance(body, bytes) else json.dumps(body).encode())

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

    with http_server(Handler) as port:
        yield f"qdrant://127.0.0.1:{port}/toys"


def healthy(method: str, path: str, key: str | None) -> tuple[int, Any]:
    """Answer as an empty server does."""
    del method, key
    if path == "/":
        return 200, VERSION
    if path.startswith("/aliases"):
        return ok({"aliases": []})
    return ok({"collections": []})


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECONDS", 0.001)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", module.KEY_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return pushed_toys.toys(tmp_path / "own", 6, index=False)


def message_of(address: str, root: Path) -> str:
    """The message that pushing and searching end with."""
    messages = []
    for act in (lambda: push(root, address), lambda: open_pushed(address)):
        with pytest.raises(ServerError) as caught:
            act()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "\n" not in messages[0]
    return messages[0]


def test_a_healthy_server() -> None:
    with answering(healthy) as address, QdrantServer(QdrantAddress.parse(address)) as server:
        assert collections(server) == []
        assert not server.is_local


def test_a_closed_port(own: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    message = message_of(f"qdrant://127.0.0.1:{port}/toys", own)
    assert message.startswith(f"no Qdrant server answers at 127.0.0.1:{port} (")
    assert message.endswith("; check the address")


def test_a_host_that_does_not_exist(own: Path) -> None:
    assert "no Qdrant server answers at no.such.invalid:6333" in message_of(
        "qdrant://no.such.invalid/toys", own
    )


def test_a_host_that_never_answers(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit is ten seconds at most, also where a name is looked up."""
    assert module.PROBE_SECONDS + 1 < 10
    monkeypatch.setattr(module, "PROBE_SECONDS", 1)
    release = threading.Event()

    def slow(method: str, path: str, key: str | None) -> tuple[int, Any]:
        release.wait(20)
        return healthy(method, path, key)

    with answering(slow) as address:
        assert "no Qdrant server answers at 127.0.0.1:" in message_of(address, own)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **more: time.sleep(20))
        assert "within 1 s" in message_of("qdrant://slow.example/toys", own)
        release.set()


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key(own: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    def guarded(method: str, path: str, key: str | None) -> tuple[int, Any]:
        if path != "/" and key != "right":
            return status, b"Must provide an API key or an Authorization bearer token"
        return healthy(method, path, key)

    with answering(guarded) as address:
        assert "requires a key; set QDRANT_API_KEY" in message_of(address, own)
        monkeypatch.setenv(module.KEY_VARIABLE, "wrong secret")
        message = message_of(address, own)
        assert "refuses the key in QDRANT_API_KEY" in message
        assert "secret" not in message
        monkeypatch.setenv(module.KEY_VARIABLE, "right")
        with QdrantServer(QdrantAddress.parse(address)) as server:
            assert collections(server) == []


def test_an_old_server(own: Path) -> None:
    def old(method: str, path: str, key: str | None) -> tuple[int, Any]:
        return (200, VERSION | {"version": "1.9.2"}) if path == "/" else healthy(method, path, key)

    with answering(old) as address:
        assert "runs Qdrant 1.9; version 1.16 or newer is needed" in message_of(address, own)


@pytest.mark.parametrize(
    "body", [b"<html>hello</html>", {"hello": 1}, VERSION | {"version": "latest"}]
)
def test_another_server(own: Path, body: object) -> None:
    def other(method: str, path: str, key: str | None) -> tuple[int, Any]:
        return (200, body) if path == "/" else healthy(method, path, key)

    with answering(other) as address:
        message = message_of(address, own)
        assert "does not answer as a Qdrant server does; check the address" in message


def test_a_missing_page(own: Path) -> None:
    with answering(lambda method, path, key: (404, b"not found")) as address:
        assert "answers 404: not found" in message_of(address, own)


def test_transient_errors_are_tried_again() -> None:
    failures = [(503, b"busy"), (429, b"slow down"), (502, b"gateway"), (500, b"oh")]

    def flaky(method: str, path: str, key: str | None) -> tuple[int, Any]:
        if path == "/collections" and failures:
            return failures.pop()
        return healthy(method, path, key)

    with answering(flaky) as address, QdrantServer(QdrantAddress.parse(address)) as server:
        with logged("retrieval") as lines:
            assert collections(server) == []
        assert [line.partition(": ")[2] for line in lines] == [
            f"{text}; trying again" for text in ("oh", "gateway", "slow down", "busy")
        ]


def test_lasting_errors_are_reported() -> None:
    seen: list[str] = []

    def broken(method: str, path: str, key: str | None) -> tuple[int, Any]:
        if path == "/collections":
            seen.append(path)
            return 503, {"status": {"error": "Service\nunavailable"}, "time": 0.0}
        return healthy(method, path, key)

    with answering(broken) as address, QdrantServer(QdrantAddress.parse(address)) as server:
        with pytest.raises(ServerError, match="answers 503: Service unavailable"):
            collections(server)
        assert len(seen) == module.ATTEMPTS
        seen.clear()
        with pytest.raises(ServerError, match="answers 503"):
            server.call_once("get_collections")
        assert len(seen) == 1


def test_refused_requests_are_not_tried_again() -> None:
    seen: list[str] = []

    def refusing(method: str, path: str, key: str | None) -> tuple[int, Any]:
        if path == "/collections":
            seen.append(path)
            return 400, {"status": {"error": "Wrong input: bad name"}, "time": 0.0}
        return healthy(method, path, key)

    with answering(refusing) as address, QdrantServer(QdrantAddress.parse(address)) as server:
        with pytest.raises(ServerError, match="answers 400: Wrong input: bad name"):
            collections(server)
        assert len(seen) == 1


def test_a_key_without_encryption_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(module.KEY_VARIABLE, "secret")
    monkeypatch.setattr(QdrantServer, "_version", lambda self, probe: (1, 17))
    with logged("retrieval") as lines:
        QdrantServer(QdrantAddress.parse("qdrant://host.example/toys")).close()
        QdrantServer(QdrantAddress.parse("qdrant://127.0.0.1/toys")).close()
        QdrantServer(QdrantAddress.parse("qdrants://host.example/toys")).close()
    assert lines == ["the key is sent to host.example without encryption; use qdrants://"]


def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"install retrieval\[qdrant\]"):
        QdrantServer(QdrantAddress.parse("qdrant://host"))
