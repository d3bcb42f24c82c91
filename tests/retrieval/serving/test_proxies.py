"""The server behind nginx and Caddy, with the configurations of docs/serving.md."""

from __future__ import annotations

import http.client
import io
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import pytest
from PIL import Image

from support import served_toys
from support.serve_process import Server, serving

pytestmark = pytest.mark.long

NAME = "photos.example.org"
DOCUMENTED_PORT = "127.0.0.1:8765"
PAGE = Path(__file__).parents[3] / "docs/serving.md"


@dataclass(frozen=True)
class Proxied:
    """A server, the port of the proxy, and the folder of media."""

    server: Server
    port: int
    media: Path

    @property
    def host(self) -> str:
        return f"{NAME}:{self.port}"

    def ask(
        self, target: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, target, body, {"host": self.host, **named})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()


def documented(kind: str) -> str:
    """The configuration of docs/serving.md."""
    return PAGE.read_text().partition(f"```text\n# {kind}\n")[2].partition("```")[0]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def nginx(folder: Path, port: int, upstream: str) -> list[str]:
    location = documented("nginx").replace(DOCUMENTED_PORT, upstream)
    places = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr warn; events {{}}\n"
        f"http {{ access_log off; {places} server {{ listen 127.0.0.1:{port}; {location} }} }}"
    )
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, port: int, upstream: str) -> list[str]:
    # Without TLS, for which a certificate of this name would be fetched.
    site = documented("Caddy").replace(NAME, f"http://{NAME}:{port}", 1)
    content = "{\nadmin off\nauto_https off\n}\n" + site.replace(DOCUMENTED_PORT, upstream)
    (folder / "Caddyfile").write_text(content)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


@pytest.fixture(scope="module", params=[nginx, caddy], ids=lambda proxy: proxy.__name__)
def proxied(request, toys: tuple[Path, Path]) -> Iterator[Proxied]:
    if shutil.which(request.param.__name__) is None:
        pytest.skip(f"no {request.param.__name__} here")
    options = ("--allow-host", NAME, "--root-path", "/search")
    with TemporaryDirectory() as folder, serving(toys[1], *options, runtime=Path(folder)) as server:
        port = free_port()
        place = Path(folder, "proxy")
        place.mkdir()
        command = request.param(place, port, f"127.0.0.1:{server.port}")
        with open(place / "log", "wb") as log:
            environment = {"HOME": str(place), "PATH": "/usr/sbin:/usr/bin:/bin"}
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            wait_for(process, port, place / "log")
            yield Proxied(server, port, toys[0])
        finally:
            process.terminate()
            process.wait()


def wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"the proxy does not start: {log.read_text()[-2_000:]}")


@pytest.fixture(scope="module")
def cookie(proxied: Proxied) -> str:
    """The cookie of a session that was opened through the proxy."""
    parts = urlsplit(proxied.server.address)
    assert parts.path == "/search/"
    status, headers, _ = proxied.ask(f"/search/?{parts.query}")
    assert (status, headers["location"]) == (303, "/search/")
    assert "Path=/search; HttpOnly; SameSite=Strict" in headers["set-cookie"]
    assert proxied.ask(f"/search/?{parts.query}")[0] == 401
    return str(headers["set-cookie"]).partition(";")[0]


def test_the_page_and_its_files_are_below_the_path(proxied: Proxied, cookie: str) -> None:
    status, headers, body = proxied.ask("/search/", cookie=cookie)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b'src="js/main.js"' in body
    assert "default-src 'self'" in headers["content-security-policy"]
    assert proxied.ask("/search/js/main.js", cookie=cookie)[0] == 200
    status, headers, _ = proxied.ask("/search?q=red", cookie=cookie)
    assert status in (301, 303)
    assert urlsplit(headers["location"])[2:4] == ("/search/", "q=red")


def test_a_token_is_needed_through_the_proxy(proxied: Proxied) -> None:
    for target in ("/search/", "/search/api/collections", "/search/media/toys/0"):
        assert proxied.ask(target)[0] == 401


def test_a_search_and_a_file_are_answered(proxied: Proxied, cookie: str) -> None:
    page = {"cookie": cookie, "origin": f"http://{proxied.host}", "sec_fetch_site": "same-origin"}
    status, _, body = proxied.ask("/search/api/search?q=red&to=image&k=1", **page)
    assert (status, len(json.loads(body)["hits"])) == (200, 1)
    picture = io.BytesIO()
    Image.new("RGB", (30, 30), "blue").save(picture, "PNG")
    status, _, body = proxied.ask("/search/api/search?k=1", "POST", picture.getvalue(), **page)
    assert status == 200
    assert json.loads(body)["hits"][0]["uri"] == str(proxied.media / "blue.png")


def test_requests_of_other_sites_are_refused_through_the_proxy(
    proxied: Proxied, cookie: str
) -> None:
    target = "/search/api/search?q=red"
    for headers in (
        {"origin": "http://evil.example"}, {"origin": f"http://{NAME}:1"},
        {"sec_fetch_site": "cross-site"},
    ):  # fmt: skip
        assert proxied.ask(target, cookie=cookie, **headers)[0] == 403
    status, _, body = proxied.ask(target, cookie=cookie, host="evil.example")
    assert status == 403 or not body  # Caddy does not pass other names on


def test_ranges_and_streams_pass_the_proxy(proxied: Proxied, cookie: str) -> None:
    film = served_toys.ids_by_name(proxied.media.parent / "toys")["film.mp4"]
    content = (proxied.media / "film.mp4").read_bytes()
    target = f"/search/media/toys/{film}"
    status, headers, body = proxied.ask(target, cookie=cookie, range="bytes=100-299")
    assert (status, body) == (206, content[100:300])
    assert headers["content-range"] == f"bytes 100-299/{len(content)}"
    status, headers, body = proxied.ask(target, cookie=cookie)
    assert (status, body) == (200, content)
    etag = str(headers["etag"])
    assert proxied.ask(target, cookie=cookie, if_none_match=etag)[0] == 304
    status, _, body = proxied.ask(f"{target}?play=1", cookie=cookie)
    assert (status, body[4:8]) == (200, b"ftyp")


def test_a_body_over_the_limit_is_refused_through_the_proxy(proxied: Proxied, cookie: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxied.port, timeout=60)
    headers = {"host": proxied.host, "cookie": cookie}
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # the answer comes before the end
            connection.request("POST", "/search/api/search", b"a" * (65 << 20), headers)
        connection.sock.settimeout(60)
        answer = http.client.HTTPResponse(connection.sock, method="POST")
        answer.begin()
        # Caddy 2.6 says 502 if the answer comes before the end of the body.
        assert answer.status in (413, 502)
    finally:
        connection.close()
