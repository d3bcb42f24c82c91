"""Servers in processes of their own, and the requests that measure them.

`python -m benchmarks.speed.served KIND FOLDER` serves a collection without tokens: KIND is `clip`
for a text tower of CLIP's size, `catalogue` for the encoders that the spaces name, or `bare` for a
single route of starlette.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from retrieval.serving.server import ServerSettings, serve

CONNECT_TRIES = 5


@contextmanager
def serving(kind: str, folder: Path, cache: Path, threads: int = 1) -> Iterator[int]:
    """Run a server until the end of the block; returns its port."""
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": f"{threads}",
        "XDG_CACHE_HOME": str(cache),
        "XDG_RUNTIME_DIR": str(cache),
    }
    command = [sys.executable, "-m", "benchmarks.speed.served", kind, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        port = urlsplit(process.stdout.readline().strip()).port
        if port is None:
            raise RuntimeError(f"the server {kind} did not start")
        yield port
    finally:
        process.terminate()
        process.communicate()


async def request_all(
    port: int, targets: Sequence[str], connections: int, *, rounds: int = 1
) -> list[int]:
    """Send requests over some connections that stay open; returns the statuses.

    All connections are open before the first request is sent. A connection that breaks counts as
    status 0.

    Args:
        port: Port of the server.
        targets: Path and query of each request.
        connections: Number of connections, which share the targets.
        rounds: Number of times that all targets are requested.
    """
    shares = [list(targets[number::connections]) * rounds for number in range(connections)]
    start = asyncio.Event()
    opened = asyncio.Semaphore(0)

    async def client(share: Sequence[str]) -> list[int]:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            opened.release()
            return [0] * len(share)
        opened.release()
        await start.wait()
        statuses = []
        try:
            for target in share:
                statuses += [await _request(reader, writer, target)]
        except (OSError, asyncio.IncompleteReadError, ValueError):
            statuses += [0] * (len(share) - len(statuses))
        finally:
            writer.close()
        return statuses

    tasks = [asyncio.create_task(client(share)) for share in shares]
    for _ in shares:
        await opened.acquire()
    start.set()
    return [status for part in await asyncio.gather(*tasks) for status in part]


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str) -> int:
    writer.write(f"GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head.split(b" ")[1])


# ---------------------------------------------------------------- the process


def _serve_bare() -> None:
    import socket

    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def answer(request: Request) -> JSONResponse:
        return JSONResponse({"query": request.query_params.get("q")})

    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}/\n")
    sys.stdout.flush()
    config = uvicorn.Config(
        Starlette(routes=[Route("/api/search", answer)]), log_level="critical", http="h11"
    )
    uvicorn.Server(config).run([listener])


def _serve_collection(kind: str, folder: Path) -> None:
    from retrieval.protocols import Encoder
    from retrieval.serving.library import Library
    from retrieval.types import Space

    encoders = None
    if kind == "clip":
        from benchmarks.speed.clip_text_tower import ClipTextTower

        tower = ClipTextTower()

        def encoders(space: Space) -> Encoder:
            return tower

    def ready(address: str, _: str) -> None:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()

    library = Library([folder], device="cpu", encoders=encoders)
    serve(library, ServerSettings(with_token=False), ready)


if __name__ == "__main__":
    if sys.argv[1] == "bare":
        _serve_bare()
    else:
        _serve_collection(sys.argv[1], Path(sys.argv[2]))
