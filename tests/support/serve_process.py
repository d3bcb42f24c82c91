"""Runs `retrieval serve` with toy encoders in a process of its own.

Usage: python serve_process.py ARGUMENTS
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Server:
    """A running server: its process, the address that it printed, and its folder of sockets."""

    process: subprocess.Popen[str]
    address: str
    runtime: Path

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 0


@contextmanager
def serving(*arguments: object, runtime: Path) -> Iterator[Server]:
    """Run a server until the end of the block.

    Args:
        arguments: Of `retrieval serve`.
        runtime: Folder of its socket and its cache.
    """
    environment = {
        **os.environ,
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_CACHE_HOME": str(runtime / "cache"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, __file__, "serve", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        address = process.stdout.readline().strip()
        if not address:
            raise RuntimeError(f"no address was printed: {process.stderr.read()}")
        yield Server(process, address, runtime)
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    import retrieval.search.open_collection
    from cli.main import main
    from support.embed_process import TOYS

    retrieval.search.open_collection.load_encoder = lambda spec, **_: TOYS[spec]
    main()
