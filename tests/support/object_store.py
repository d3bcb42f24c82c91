"""An S3 server on the loopback with one bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

BUCKET = "s3://bucket"


@contextmanager
def object_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Start the server, and point s3fs to it; yields the file system."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    # All servers of a process share their buckets.
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem()
    try:
        system.mkdir("bucket")
        yield system
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()


def put_folder(system: Any, folder: Path, address: str) -> None:
    """Copy the files of a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            system.pipe_file(f"{address}/{path.relative_to(folder)}", path.read_bytes())
