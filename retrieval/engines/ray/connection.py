"""Connects to a Ray cluster, or says in one line why it cannot."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retrieval.errors import ClusterError, MissingExtraError

AUTO = "auto"

REACH_SECONDS = 5.0
"""Time for a head to accept a connection; Ray itself waits for minutes."""

_CLIENT = "ray://"
_ADDRESS = re.compile(r"(?:ray://)?(?P<host>[^/:\s]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})")


def require_ray() -> Any:
    """Import and return `ray`.

    Raises:
        MissingExtraError: It is not installed.
    """
    # Ray prints the logs of nodes that end to standard output, among the results of commands.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
    except ImportError:
        raise MissingExtraError("a cluster needs ray; install retrieval[ray]") from None
    return ray


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to a cluster for the time of the block; a connection that exists already stays.

    Args:
        address: `auto` for the cluster that this machine belongs to, `HOST:PORT` of the head, or
            `ray://HOST:PORT` from a machine outside.

    Yields:
        The module `ray`.

    Raises:
        ClusterError: There is no cluster at the address, it refuses this client, or it runs
            another release.
        MissingExtraError: `ray` is not installed.
    """
    ray = require_ray()
    if ray.is_initialized():
        yield ray
        return
    resolved = _resolve(address)
    try:
        with _silence():
            ray.init(
                address=resolved,
                log_to_driver=False,
                configure_logging=False,
                logging_level=logging.ERROR,
            )
    except Exception as error:  # Ray and gRPC raise many types, some without a common base.
        raise ClusterError(_reason(address, error)) from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _silence() -> Iterator[None]:
    """Discard what Ray's C++ library writes to standard error while it connects."""
    sys.stderr.flush()
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def _resolve(address: str) -> str:
    """Return the address to connect to, after checking that the head can be reached."""
    if address == AUTO:
        found = os.environ.get("RAY_ADDRESS") or _local_head()
        if not found or found == AUTO:
            raise ClusterError(
                "no Ray cluster runs on this machine; start one with `ray start`, or name the "
                "address of its head"
            )
        return _resolve(found)
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ClusterError(
            f"{address!r} is not the address of a cluster; expected auto, HOST:PORT or "
            "ray://HOST:10001"
        )
    host, port = match["host"], int(match["port"])
    reason = _unreachable(host.strip("[]"), port)
    if reason is not None:
        raise ClusterError(
            f"no Ray head answers at {host}:{port} ({reason}); check the address, the firewall "
            "and `ray status` there"
        )
    return address


def _unreachable(host: str, port: int) -> str | None:
    """Return why no head answers at an address; None if one does."""
    try:
        socket.create_connection((host, port), timeout=REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        return str(error.strerror if isinstance(error, OSError) and error.strerror else error)
    if os.environ.get("RAY_USE_TLS") == "1":
        return None
    try:
        import grpc
    except ImportError:  # a Ray without its client
        return None
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=REACH_SECONDS)
        except grpc.FutureTimeoutError:
            return "the port is open, but the protocol is not Ray's"
    return None


def _local_head() -> str | None:
    """Return the address that `ray start` leaves on each machine of a cluster."""
    for folder in (os.environ.get("RAY_TMPDIR"), tempfile.gettempdir(), "/tmp"):
        path = Path(folder or "/tmp", "ray/ray_current_cluster")
        try:
            return path.read_text(encoding="utf-8").strip() or None
        except OSError:
            continue
    return None


_MISMATCH = re.compile("version|incompatible", re.IGNORECASE)


def _reason(address: str, error: Exception) -> str:
    """Describe an error of connecting in one line."""
    text = " ".join(str(error).split())
    if type(error).__name__ == "AuthenticationError" or "authentication" in text.lower():
        return (
            f"the cluster at {address} refuses the token of this client; copy ~/.ray/auth_token "
            "of the head, and set RAY_AUTH_MODE=token"
        )
    if _MISMATCH.search(text):
        return (
            f"the cluster at {address} runs another release of Python or Ray than this client; "
            f"install the same on all machines ({text[:300]})"
        )
    return (
        f"cannot connect to the cluster at {address}: {text[:300] or type(error).__name__}; check "
        "`ray status` there and the token, in RAY_AUTH_TOKEN or ~/.ray/auth_token"
    )
