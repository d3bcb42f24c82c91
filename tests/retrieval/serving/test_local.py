"""Searches of the command line through the local socket of a running server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from cli import search as search_command
from retrieval.errors import QueryError
from retrieval.serving import local_client, local_socket
from retrieval.serving.app import create_routes
from retrieval.serving.local_app import LocalApp
from retrieval.serving.local_client import ask
from retrieval.serving.local_socket import is_own_socket, is_private, listen, socket_path
from support.commands import run
from support.serve_process import ROOT

WAYS = [
    ("red", "--format", "json"),
    ("white", "--to", "moment", "-k", "3", "--format", "json"),
    ("red", "--where", "width > 40", "--offset", "1", "--format", "json"),
    ("red", "--cutoff", "--min-score", "0.2", "--format", "json"),
    ("--like", "2", "--format", "json"),
    ("green",),
    ("green", "--format", "csv"),
    ("green", "--format", "paths"),
    ("high", "--to", "music", "--time-format", "hms"),
]


@pytest.fixture(scope="module")
def runtime() -> Iterator[Path]:
    """A short folder for sockets, known to this process."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


@pytest.fixture(scope="module")
def local(shared, runtime: Path) -> Iterator[Path]:
    """The root of a collection whose server listens on its local socket."""
    import asyncio

    import uvicorn

    listener = listen(shared.root)
    assert listener is not None
    app = LocalApp(create_routes(shared.services), shared.services)
    config = uvicorn.Config(app, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    yield shared.root
    server.should_exit = True
    thread.join()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether a server answered, for each search."""
    seen: list[bool] = []
    real = search_command.ask_server

    def noted(*arguments):
        answer = real(*arguments)
        seen.append(answer is not None)
        return answer

    monkeypatch.setattr(search_command, "ask_server", noted)
    return seen


@pytest.mark.parametrize("arguments", WAYS, ids=lambda way: " ".join(way))
def test_results_are_those_of_a_search_in_this_process(
    local: Path, answers: list[bool], arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = run("search", local, *arguments)
    assert answers == [True]
    monkeypatch.setattr(search_command, "ask_server", lambda *arguments: None)
    cold = run("search", local, *arguments)
    if "json" in arguments:
        warm_document, cold_document = json.loads(warm), json.loads(cold)
        assert list(warm_document) == list(cold_document)
        assert set(warm_document.pop("took_ms")) == set(cold_document.pop("took_ms"))
        assert warm_document == cold_document
    else:
        assert warm == cold


@pytest.mark.parametrize(
    "arguments",
    [
        ("@red.png",), ("red", "--with-vectors"), ("red", "--device", "cpu"),
        ("red", "--localizer", "similarity"), ("red", "-k", "501"),
    ],
)  # fmt: skip
def test_other_searches_do_not_use_the_server(
    local: Path, shared, answers: list[bool], arguments: tuple[str, ...], monkeypatch
) -> None:
    monkeypatch.chdir(shared.media)
    run("search", local, *arguments, "--format", "json")
    assert not any(answers)


@pytest.mark.parametrize(
    ("name", "value"),
    [("program_version", lambda: "another"), ("_GENERATION", __import__("re").compile("()"))],
)
def test_another_version_or_generation_falls_back(local: Path, monkeypatch, name, value) -> None:
    assert ask(local, {"q": "red"}) is not None
    monkeypatch.setattr(local_client, name, value)
    assert ask(local, {"q": "red"}) is None


def test_two_queries_are_refused_with_a_server_as_without(local: Path) -> None:
    with pytest.raises(QueryError, match="give a QUERY or"):
        run("search", local, "red", "--like", "2")


def test_an_error_falls_back_to_the_message_of_this_process(local: Path) -> None:
    assert ask(local, {"q": "red", "where": "nonsense ("}) is None


def test_only_searches_are_answered_locally(local: Path) -> None:
    class Connection(local_client._LocalConnection):
        pass

    for target in ("/media/toys/0", "/metrics", "/"):
        connection = Connection(os.fspath(socket_path(local)))
        connection.request("GET", target)
        assert connection.getresponse().status == 409
        connection.close()


def test_the_socket_lies_in_a_private_folder(local: Path, runtime: Path) -> None:
    path = socket_path(local)
    assert path.parent == runtime / "retrieval"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    assert is_own_socket(path)
    path.parent.chmod(0o755)
    try:
        assert ask(local, {"q": "red"}) is None
        with pytest.raises(PermissionError):
            listen(local)
    finally:
        path.parent.chmod(0o700)


def test_a_socket_of_another_owner_is_not_used(local: Path, monkeypatch) -> None:
    monkeypatch.setattr(local_socket.os, "geteuid", lambda: 12_345)
    assert ask(local, {"q": "red"}) is None


def test_a_linked_folder_is_not_private(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert is_private(tmp_path / "real")
    assert not is_private(tmp_path / "link")


def test_a_second_server_leaves_the_socket_to_the_first(local: Path) -> None:
    assert listen(local) is None
    assert ask(local, {"q": "red"}) is not None


def test_a_stale_socket_is_replaced(runtime: Path, tmp_path: Path) -> None:
    path = socket_path(tmp_path)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))
    assert ask(tmp_path, {"q": "red"}) is None
    listener = listen(tmp_path)
    assert listener is not None
    listener.close()
    path.unlink()


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", b"x\r\n"])
def test_a_server_that_dies_in_the_middle_falls_back(
    runtime: Path, shared, tmp_path: Path, sent: bytes
) -> None:
    (tmp_path / "CURRENT").write_text("000001 x")
    listener = listen(tmp_path)
    assert listener is not None

    def die() -> None:
        connection, _ = listener.accept()
        connection.recv(10)
        connection.sendall(sent)
        connection.close()

    thread = threading.Thread(target=die)
    thread.start()
    try:
        assert ask(tmp_path, {"q": "red"}) is None
    finally:
        thread.join()
        listener.close()
        socket_path(tmp_path).unlink()


def test_a_search_before_the_server_runs_waits_for_its_answer(
    runtime: Path, shared, tmp_path: Path
) -> None:
    (tmp_path / "CURRENT").write_text("000001 x")
    listener = listen(tmp_path)
    assert listener is not None
    found: list[dict | None] = []
    asking = threading.Thread(target=lambda: found.append(ask(tmp_path, {"q": "red"})))
    asking.start()
    try:
        connection, _ = listener.accept()
        connection.recv(4_096)
        connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{"query": "red"}')
        connection.close()
    finally:
        asking.join()
        listener.close()
        socket_path(tmp_path).unlink()
    assert found == [{"query": "red"}]


def test_a_silent_server_is_given_up(runtime: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(local_client, "ANSWER_SECONDS", 0.05)
    (tmp_path / "CURRENT").write_text("000001 x")
    listener = listen(tmp_path)
    assert listener is not None
    try:
        assert ask(tmp_path, {"q": "red"}) is None
    finally:
        listener.close()
        socket_path(tmp_path).unlink()


def test_a_warm_search_loads_nothing_heavy(local: Path) -> None:
    script = (
        "import sys, cli.main\n"
        "sys.argv = ['retrieval', 'search', sys.argv[1], 'red', '--format', 'json']\n"
        "try: cli.main.main()\n"
        "except SystemExit: pass\n"
        "names = ('torch', 'faiss', 'numpy', 'pyarrow', 'duckdb', 'av', 'fastapi', 'rich')\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(local)],
        capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert json.loads(lines[0])["query"] == "red"
    assert lines[-1] == "[]"
