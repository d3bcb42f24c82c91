"""Serves a collection on a real port, for browsers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from retrieval.serving.access import Access
from retrieval.serving.app import create_app
from retrieval.serving.disk_cache import DiskCache
from retrieval.serving.library import Library
from retrieval.serving.services import Services


@contextmanager
def page_server(*roots: Path, cache: Path) -> Iterator[str]:
    """Yield the address of the page, which needs no token."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        services = Services(Library(roots, device="cpu"), cache=DiskCache(cache, 1 << 24))
        services.library.load()
        config = uvicorn.Config(create_app(services, Access(port, session=None)), log_level="error")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.should_exit = True
            thread.join()
