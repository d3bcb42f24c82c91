"""One connection to Qdrant: retries, and errors of the client as errors of this package."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib.util import find_spec
from typing import Any, Self

from retrieval.engines.qdrant.address import QdrantAddress
from retrieval.errors import (
    CollectionDamagedError,
    CollectionLockedError,
    CollectionNotFoundError,
    MissingExtraError,
    RetrievalError,
    ServerError,
    StorageError,
)

logger = logging.getLogger(__name__)

KEY_VARIABLE = "QDRANT_API_KEY"

MIN_VERSION = (1, 16)
"""The first version whose collections have metadata."""

PROBE_SECONDS = 8
"""Time limit of the first request, with the look-up of the host's name."""

REQUEST_SECONDS = 120
COPY_SECONDS = 6 * 3600
"""Time limits of a request, and of one that copies a collection inside the server."""

ATTEMPTS = 6
BACKOFF_SECONDS = 0.5
"""Pause before the second attempt; it doubles with every further one."""

TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
FORMAT_ERRORS = frozenset({"ValidationError", "JSONDecodeError"})
MAX_REASON = 300


class QdrantServer:
    """A Qdrant server, or a folder in the local mode of qdrant-client.

    Attributes:
        address: The server or folder.
        key: Key of the server, from the environment; None without one.
    """

    def __init__(self, address: QdrantAddress, *, create: bool = False) -> None:
        """Connect.

        Args:
            address: The server or folder.
            create: Create a missing folder.

        Raises:
            MissingExtraError: qdrant-client is not installed.
            ServerError: No server answers, it refuses the key, or it is too old.
            CollectionNotFoundError: The folder does not exist, or contains something else.
            CollectionLockedError: Another process has the folder open.
        """
        if find_spec("qdrant_client") is None:
            raise MissingExtraError("Qdrant needs qdrant-client; install retrieval[qdrant]")
        self.address = address
        self.key = os.environ.get(KEY_VARIABLE) or None
        self._client = self._open_folder(create) if address.url is None else self._connect()

    @property
    def is_local(self) -> bool:
        """Whether this is a folder, in which payloads have no index and vectors are float32."""
        return self.address.url is None

    def close(self) -> None:
        """Release the connection or the lock of the folder."""
        with _quiet():
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the client; transient errors are tried again, with growing pauses.

        Raises:
            ServerError: The server does not answer, or refuses the request.
            StorageError: The disk of a folder is full, or does not allow writing.
        """
        for attempt in range(ATTEMPTS):
            try:
                with _quiet() if self.is_local else nullcontext():
                    return getattr(self._client, method)(*args, **kwargs)
            except Exception as error:
                pause = _pause(error, attempt)
                if pause is None or attempt == ATTEMPTS - 1:
                    raise self._translated(error) from error
                logger.info("%s: %s; trying again", self.address.place, _reason(error))
                time.sleep(pause)
        raise AssertionError("unreachable")

    def call_once(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of a server that may take hours, without further attempts; see `call`."""
        client = self._new_client(COPY_SECONDS)
        with _closing(client):
            try:
                return getattr(client, method)(*args, **kwargs)
            except Exception as error:
                raise self._translated(error) from error

    # ------------------------------------------------------------ opening

    def _open_folder(self, create: bool) -> Any:
        from qdrant_client import QdrantClient

        folder = self.address.folder
        assert folder is not None
        if not (folder / "meta.json").is_file():
            foreign = folder.is_dir() and any(folder.iterdir())
            if not create or foreign or (folder.exists() and not folder.is_dir()):
                raise CollectionNotFoundError(
                    f"{folder} is not a folder of Qdrant: it has no file meta.json; "
                    "give an empty folder, or push a collection there"
                )
        try:
            with _quiet():
                return QdrantClient(path=str(folder))
        except Exception as error:
            raise self._translated(error) from error

    def _connect(self) -> Any:
        url = self.address.url
        assert url is not None
        host = url.partition("//")[2].rpartition(":")[0]
        if self.key and url.startswith("http:") and host not in ("localhost", "127.0.0.1", "[::1]"):
            logger.warning("the key is sent to %s without encryption; use qdrants://", host)
        probe = self._new_client(PROBE_SECONDS)
        with _closing(probe):
            version = self._version(probe)
        if version < MIN_VERSION:
            shown, needed = (".".join(map(str, each)) for each in (version, MIN_VERSION))
            raise ServerError(
                f"{self.address.place} runs Qdrant {shown}; version {needed} or newer is needed"
            )
        return self._new_client(REQUEST_SECONDS)

    def _new_client(self, seconds: int) -> Any:
        from qdrant_client import QdrantClient

        with _quiet():
            return QdrantClient(
                url=self.address.url, api_key=self.key, timeout=seconds, check_compatibility=False
            )

    def _version(self, probe: Any) -> tuple[int, ...]:
        """Ask for the version, in a thread, because looking up a name has no time limit."""
        answer: list[Any] = []

        def ask() -> None:
            try:
                answer.append(probe.info().version)
                probe.get_aliases()  # `info` needs no key
            except Exception as error:
                answer.append(error)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(PROBE_SECONDS + 1)
        if not answer or thread.is_alive():
            raise ServerError(
                f"no Qdrant server answers at {self.address.place} within {PROBE_SECONDS} s; "
                "check the address"
            )
        if isinstance(answer[-1], Exception):
            raise self._translated(answer[-1]) from answer[-1]
        try:
            return tuple(int(part) for part in str(answer[0]).split("-")[0].split(".")[:2])
        except ValueError:
            raise _other_server(self.address.place) from None

    # ------------------------------------------------------------ errors

    def _translated(self, error: Exception) -> RetrievalError:
        """Return an error of this package for one of the client."""
        if isinstance(error, RetrievalError):
            return error
        if self.is_local:
            return self._folder_error(error)
        place, status = self.address.place, getattr(error, "status_code", None)
        source, reason = getattr(error, "source", None), _reason(error)
        if status in (401, 403):
            problem = "refuses the key in" if self.key else "requires a key; set"
            message = f"the Qdrant server at {place} {problem} {KEY_VARIABLE}"
        elif status is not None:
            message = f"the Qdrant server at {place} answers {status}: {reason}"
        elif {type(error).__name__, type(source).__name__} & FORMAT_ERRORS:
            return _other_server(place)
        elif source is None:
            message = f"the Qdrant server at {place} cannot be asked: {reason}"
        else:
            message = f"no Qdrant server answers at {place} ({reason}); check the address"
        return ServerError(message)

    def _folder_error(self, error: Exception) -> RetrievalError:
        import sqlite3

        folder = self.address.folder
        if "already accessed by another instance" in str(error):
            return CollectionLockedError(f"{folder} is open in another process; wait until it ends")
        if isinstance(error, OSError | sqlite3.Error):
            return StorageError(
                f"{folder} cannot be read or written ({_reason(error)}); check its disk and rights"
            )
        if isinstance(error, json.JSONDecodeError):
            return CollectionDamagedError(f"{folder}/meta.json is damaged; push into a new folder")
        return ServerError(f"the Qdrant in {folder} refuses the request: {_reason(error)}")


def _other_server(place: str) -> ServerError:
    return ServerError(f"{place} does not answer as a Qdrant server does; check the address")


def _pause(error: Exception, attempt: int) -> float | None:
    """Return the seconds to wait before another attempt; None if none helps."""
    wait = BACKOFF_SECONDS * float(2**attempt)
    after = getattr(error, "retry_after_s", None)
    if after is not None:
        with suppress(TypeError, ValueError):
            return min(60.0, max(wait, float(after)))
        return wait
    if getattr(error, "status_code", None) in TRANSIENT_STATUS:
        return wait
    source = getattr(error, "source", None)
    if source is None:
        return None
    import httpx

    return wait if isinstance(source, httpx.TransportError) else None


def _reason(error: Exception) -> str:
    """Describe an error of the client in one line."""
    text = str(getattr(error, "source", None) or error)
    content = getattr(error, "content", None)
    if content is not None:
        text = content.decode(errors="replace") if isinstance(content, bytes) else str(content)
        with suppress(ValueError, LookupError, TypeError):
            text = str(json.loads(text)["status"]["error"])
    return " ".join(text.split())[:MAX_REASON] or type(error).__name__


@contextmanager
def _closing(client: Any) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(Exception):
            client.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings of the client: local mode lacks indexes and is slow; a key without TLS."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Local mode|Payload indexes|Api key", category=UserWarning
        )
        yield
