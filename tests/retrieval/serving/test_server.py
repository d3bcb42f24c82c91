"""A real server on a port of the loopback: its address, its limits, and its end."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

import pytest
import uvicorn

from retrieval.errors import QueryError, ServerError
from retrieval.serving import protocol
from retrieval.serving import server as server_module
from retrieval.serving.library import Library
from retrieval.serving.server import ServerSettings
from support import served_toys
from support.serve_process import Server, serving

TOKEN = "0123456789abcdef programs"


@pytest.fixture(scope="module")
def server(toys: tuple[Path, Path]) -> Iterator[Server]:
    # Not pytest's folder: its path can be too long for a socket.
    with TemporaryDirectory() as runtime:
        token = Path(runtime, "token")
        token.write_text(TOKEN)
        token.chmod(0o600)
        with serving(toys[1], "--token-file", token, runtime=Path(runtime)) as running:
            yield running


def ask(
    server: Server, target: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request(method, target, body, {"authorization": f"Bearer {TOKEN}", **headers})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def raw(server: Server, content: bytes) -> bytes:
    """Send bytes, and return what comes back until the connection is closed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        with suppress(OSError):  # the server may have answered and closed
            client.sendall(content)
        parts = []
        with suppress(ConnectionResetError):
            while part := client.recv(1 << 16):
                parts.append(part)
        return b"".join(parts)


def is_up(server: Server) -> bool:
    status, _, body = ask(server, "/health")
    return (status, json.loads(body)["status"]) == (200, "ok")


def test_fault_33_the_server_prints_one_address_that_opens_one_session(server: Server) -> None:
    parts = urlsplit(server.address)
    assert (parts.scheme, parts.hostname, parts.path) == ("http", "127.0.0.1", "/")
    assert len(parse_qs(parts.query)["token"][0]) == 43
    target = f"/?{parts.query}"
    status, headers, _ = ask(server, target, authorization="")
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"].partition(";")[0]
    assert cookie.startswith(f"retrieval-{server.port}=")
    assert ask(server, "/", authorization="", cookie=cookie)[0] == 200
    assert ask(server, target, authorization="")[0] == 401


def test_fault_33_only_the_loopback_is_listened_on(server: Server) -> None:
    with socket.socket() as client:
        client.settimeout(0.5)
        assert client.connect_ex(("127.0.0.2", server.port)) != 0


def test_a_search_answers(server: Server, toys: tuple[Path, Path]) -> None:
    status, headers, body = ask(server, "/api/search?q=green&to=image&k=1")
    hits = json.loads(body)["hits"]
    assert (status, [hit["item_id"] for hit in hits]) == (
        200, [served_toys.ids_by_name(toys[1])["green.png"]],
    )  # fmt: skip
    assert "server" not in headers


def test_fault_34_a_query_of_a_megabyte_is_too_long(server: Server) -> None:
    request = b"GET /api/search?q=" + b"a" * (1 << 20) + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    answer = raw(server, request)
    assert answer.startswith(b"HTTP/1.1 414 URI Too Long\r\n")
    assert b"x-content-type-options: nosniff" in answer
    assert is_up(server)


def test_fault_34_headers_of_a_megabyte_are_too_long(server: Server) -> None:
    request = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + b"a" * (1 << 20) + b"\r\n\r\n"
    assert raw(server, request).startswith(b"HTTP/1.1 431 ")
    assert is_up(server)


def test_fault_34_what_is_not_http_is_refused(server: Server) -> None:
    assert raw(server, b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert is_up(server)


def endless(server: Server, headers: str) -> bytes:
    """Send a body without end until the server closes the connection."""
    head = f"POST /api/search HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}\r\n\r\n"
    part = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(head.encode())
        try:
            for _ in range(4_000):
                client.sendall(part)
        except OSError:
            pass
        else:
            pytest.fail("the server reads an endless body")
        try:
            return client.recv(1 << 16)
        except OSError:
            return b""


def test_fault_34_an_endless_body_ends_with_its_connection(server: Server) -> None:
    headers = f"authorization: Bearer {TOKEN}\r\ntransfer-encoding: chunked"
    answer = endless(server, headers)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")
    assert is_up(server)


def test_fault_34_an_endless_body_without_a_token_is_not_read(server: Server) -> None:
    answer = endless(server, "transfer-encoding: chunked")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 401 ")
    assert is_up(server)


def test_fault_34_a_declared_length_over_the_limit_is_refused_at_once(server: Server) -> None:
    request = (
        f"POST /api/search HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {TOKEN}\r\n"
        f"content-length: {10**15}\r\n\r\n"
    )
    assert raw(server, request.encode()).startswith(b"HTTP/1.1 413 ")


def test_fault_34_slow_clients_do_not_block_others(server: Server) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
    try:
        for client in slow[:50]:
            client.sendall(b"GET / HTTP/1.1\r\nhost:")
        for client in slow[50:]:
            head = (
                f"POST /api/search HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {TOKEN}\r\n"
                "content-length: 100\r\n\r\n"
            )
            client.sendall(head.encode())
        assert ask(server, "/api/search?q=red")[0] == 200
    finally:
        for client in slow:
            client.close()


def test_fault_34_no_connection_of_many_is_lost(server: Server) -> None:
    statuses: list[int] = []

    def client(number: int) -> None:
        target = f"/api/search?q=red+{number}&k=1"
        statuses.extend(ask(server, target)[0] for _ in range(3))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 120


@pytest.mark.parametrize("requests", [0, 1])
def test_a_request_that_is_never_complete_ends_with_its_connection(
    monkeypatch: pytest.MonkeyPatch, requests: int
) -> None:
    """The first request of a connection, or the second one."""
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 0.1)

    async def app(scope, receive, send) -> None:
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    async def connect() -> bytes:
        config = uvicorn.Config(app, http=protocol.LimitedProtocol, lifespan="off", log_config=None)
        config.load()
        state = uvicorn.server.ServerState()
        listening = await asyncio.get_running_loop().create_server(
            lambda: protocol.LimitedProtocol(config, state, {}), "127.0.0.1", 0
        )
        port = listening.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * requests)
        for _ in range(requests):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GET / HTTP/1.1\r\nhost:")
        try:
            return await asyncio.wait_for(reader.read(), 20)
        finally:
            writer.close()
            listening.close()

    assert asyncio.run(connect()) == b""


def test_sigterm_ends_the_server_and_its_sockets(server: Server) -> None:
    """The last test of the running server."""
    sockets = list(server.runtime.glob("retrieval/*.sock"))
    assert len(sockets) == 1
    server.process.send_signal(signal.SIGTERM)
    out, errors = server.process.communicate(timeout=60)
    assert (server.process.returncode, out) == (128 + signal.SIGTERM, "")
    assert "Traceback" not in errors
    assert server.address not in errors
    assert not sockets[0].exists()


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])
def test_fault_33_another_address_than_loopback_needs_a_token(host: str) -> None:
    with pytest.raises(QueryError, match="reachable from other machines, so a token is needed"):
        ServerSettings(host=host, with_token=False)
    ServerSettings(host=host)
    ServerSettings(host="127.0.0.1", with_token=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"port": 70_000}, "a port is a number from 0 to 65535"),
        ({"root_path": "photos"}, "a root path is like /photos"),
        ({"root_path": "/photos/"}, "a root path is like /photos"),
        ({"root_path": "/a\r\nset-cookie: x"}, "a root path is like /photos"),
        ({"allow_hosts": ["a/b"]}, "a host is a name without a port"),
    ],
)
def test_invalid_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        ServerSettings(**settings)


def test_a_port_in_use_is_named_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=rf"127\.0\.0\.1 port {port}: .*another port"):
            server_module.serve(Library([tmp_path]), ServerSettings(port=port), lambda *_: None)
