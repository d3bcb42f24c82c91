"""Runs the server: binds, loads, prints the address, serves, and ends in order."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from retrieval.errors import QueryError, RetrievalError, ServerError
from retrieval.serving.access import LOOPBACK_NAMES, Access, is_loopback, read_token
from retrieval.serving.app import create_routes
from retrieval.serving.guard import Guard
from retrieval.serving.library import Library
from retrieval.serving.limits import MAX_HEADER_BYTES, SHUTDOWN_SECONDS
from retrieval.serving.local_app import LocalApp
from retrieval.serving.local_socket import listen, socket_path
from retrieval.serving.overview import collection_overview
from retrieval.serving.protocol import LimitedProtocol
from retrieval.serving.services import Services

logger = logging.getLogger(__name__)

BACKLOG = 2_048
OPEN_FILES = 16_384
REFRESH_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where the server listens and whom it answers.

    Attributes:
        host: Address to listen on.
        port: Port; 0 chooses a free one.
        allow_hosts: Further names in the `Host` header, as of a reverse proxy.
        root_path: Path below which a reverse proxy shows the server.
        token_file: File with the token of programs; a missing one is written.
        with_token: Whether requests need a token.

    Raises:
        QueryError: The settings contradict each other or are invalid.
    """

    host: str = "127.0.0.1"
    port: int = 0
    allow_hosts: Sequence[str] = ()
    root_path: str = ""
    token_file: Path | None = None
    with_token: bool = True

    def __post_init__(self) -> None:
        if not self.with_token and not is_loopback(self.host):
            raise QueryError(
                f"the address {self.host} is reachable from other machines, so a token is needed; "
                "serve with a token, or on 127.0.0.1"
            )
        if not 0 <= self.port <= 65_535:
            raise QueryError(f"a port is a number from 0 to 65535, got {self.port}")
        path = self.root_path
        if path and (not path.startswith("/") or path.endswith("/") or not _is_plain(path)):
            raise QueryError(f"a root path is like /photos, got {path!r}")
        for name in self.allow_hosts:
            if not name or not _is_plain(name) or "/" in name:
                raise QueryError(f"a host is a name without a port, got {name!r}")


def _is_plain(text: str) -> bool:
    return text.isascii() and all(char.isalnum() or char in "/-._~[]:" for char in text)


def serve(library: Library, settings: ServerSettings, ready: Callable[[str, str], object]) -> None:
    """Serve collections until SIGTERM or Ctrl-C.

    Args:
        library: The collections, which are loaded here.
        settings: Where and to whom.
        ready: Called once with two addresses of the page, each of which opens one session.

    Raises:
        ServerError: The address cannot be listened on.
        RetrievalError: A collection or its models cannot be used.
    """
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # its lines repeat addresses
    bearer = None if settings.token_file is None else read_token(settings.token_file)
    _raise_file_limit()
    with _bound(settings.host, settings.port) as listener:
        services = Services(library)
        try:
            threading.Thread(target=services.pool.start_all, daemon=True).start()
            services.library.load()
            access = _access(settings, listener, bearer)
            addresses = [_address(settings, access) for _ in range(2)]
            with _local_sockets(services) as local:
                asyncio.run(_run(services, access, listener, local, lambda: ready(*addresses)))
        finally:
            services.close()


def _access(settings: ServerSettings, listener: socket.socket, bearer: str | None) -> Access:
    names = {*LOOPBACK_NAMES, *(name.lower() for name in settings.allow_hosts)}
    if settings.host not in ("0.0.0.0", "::", ""):
        names.add(_host_in_address(settings.host).lower())
    access = Access(
        listener.getsockname()[1], frozenset(names), root_path=settings.root_path, bearer=bearer
    )
    if not settings.with_token:
        access.session = None
    return access


def _address(settings: ServerSettings, access: Access) -> str:
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
    host = anywhere.get(settings.host) or _host_in_address(settings.host)
    address = f"http://{host}:{access.port}{settings.root_path}/"
    return f"{address}?token={access.one_time_token()}" if settings.with_token else address


def _host_in_address(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


# ---------------------------------------------------------------- sockets


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """Bind the port before the models load, so that a port in use is known at once."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServerError(f"cannot listen on {host}: {error.strerror or error}") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            raise ServerError(
                f"cannot listen on {host} port {port}: {error.strerror}; choose another port"
            ) from error
        yield listener


@contextmanager
def _local_sockets(services: Services) -> Iterator[list[socket.socket]]:
    """Listen on the local socket of each collection, and delete the sockets at the end."""
    listeners = {}
    for collection in services.library:
        try:
            listener = listen(collection.root)
        except OSError as error:
            logger.warning("searches on this machine do not use this server: %s", error)
            continue
        if listener is not None:
            listeners[socket_path(collection.root)] = listener
    try:
        yield list(listeners.values())
    finally:
        for path, listener in listeners.items():
            listener.close()
            with suppress(OSError):
                path.unlink()


def _raise_file_limit() -> None:
    """Permit as many connections as the system does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


# ---------------------------------------------------------------- running


class _LocalServer(uvicorn.Server):
    """A second server in the same loop; the first one handles signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


async def _run(
    services: Services,
    access: Access,
    listener: socket.socket,
    local: Sequence[socket.socket],
    ready: Callable[[], object],
) -> None:
    routes = create_routes(services)
    server = uvicorn.Server(_config(Guard(routes, access), lifespan="on"))
    local_server = _LocalServer(_config(LocalApp(routes, services), lifespan="off"))
    tasks = [asyncio.create_task(_announce(server, ready)), asyncio.create_task(_refresh(services))]
    if local:
        tasks.append(asyncio.create_task(local_server.serve(list(local))))
    try:
        await server.serve([listener])
    finally:
        local_server.should_exit = True
        for task in tasks[:2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _config(app: ASGIApp, *, lifespan: str) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=LimitedProtocol,
        ws="none",
        lifespan="on" if lifespan == "on" else "off",
        log_config=None,
        access_log=False,  # addresses can hold tokens and queries
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=round(SHUTDOWN_SECONDS),
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )


async def _announce(server: uvicorn.Server, ready: Callable[[], object]) -> None:
    while not server.started:
        await asyncio.sleep(0.01)
    ready()


async def _refresh(services: Services) -> None:
    """Look for new generations from time to time, and describe them before the page asks."""
    described: set[tuple[str, int]] = set()
    while True:
        for each in services.library:
            if (each.slug, each.current.number) not in described:
                described.add((each.slug, each.current.number))
                with suppress(RetrievalError, OSError):  # the route reports it
                    await services.slow.submit(partial(collection_overview, each))
        await asyncio.sleep(REFRESH_SECONDS)
        await asyncio.to_thread(services.library.refresh)
