"""Pushes in a process of its own, which kills itself before the n-th call of a method of Qdrant.

Usage: python push_process.py COLLECTION ADDRESS METHOD N
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from retrieval.engines.qdrant import points
from retrieval.engines.qdrant.push import push
from retrieval.engines.qdrant.server import QdrantServer


def main(root: str, address: str, method: str, number: int) -> None:
    points.MAX_BATCH_POINTS = 16
    call, seen = QdrantServer.call, [0]

    def killing(self: QdrantServer, name: str, *args: Any, **kwargs: Any) -> Any:
        seen[0] += name == method
        if seen[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(self, name, *args, **kwargs)

    QdrantServer.call = killing  # type: ignore[method-assign]
    push(root, address)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
