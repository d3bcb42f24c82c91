from __future__ import annotations

import socket
from pathlib import Path

import pytest

from retrieval.engines.ray import connection
from retrieval.engines.ray.connection import _reason, _resolve
from retrieval.errors import ClusterError


@pytest.mark.parametrize("address", ["", "head", "ray://head", "http://head:80", "head:port"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ClusterError, match="is not the address of a cluster; expected auto"):
        _resolve(address)


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_a_closed_port_is_one_line(address: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(ClusterError, match=rf"no Ray head answers at 127.0.0.1:{port} \(.*refused"):
        _resolve(address.format(port))


def test_a_port_that_does_not_speak_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REACH_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ClusterError, match="the port is open, but the protocol is not Ray's"):
            _resolve(f"127.0.0.1:{port}")


def test_auto_finds_the_cluster_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(connection, "_unreachable", lambda host, port: None)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert _resolve("auto") == "10.0.0.1:6379"
    monkeypatch.delenv("RAY_ADDRESS")
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray/ray_current_cluster").write_text("10.0.0.2:6379")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert _resolve("auto") == "10.0.0.2:6379"
    monkeypatch.setattr(connection, "_local_head", lambda: None)
    with pytest.raises(ClusterError, match="no Ray cluster runs on this machine; start one"):
        _resolve("auto")


def test_errors_of_connecting_say_what_to_do() -> None:
    mismatch = RuntimeError("Version mismatch: The cluster was started with:\n  Ray: 2.50.0")
    assert _reason("head:1", mismatch) == (
        "the cluster at head:1 runs another release of Python or Ray than this client; install the "
        "same on all machines (Version mismatch: The cluster was started with: Ray: 2.50.0)"
    )
    assert "refuses the token of this client" in _reason("head:1", ValueError("Authentication …"))
    assert _reason("head:1", ConnectionError()).startswith("cannot connect to the cluster at head")
