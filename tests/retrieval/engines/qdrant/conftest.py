"""Places to push to: a folder of qdrant-client's local mode, and a server if there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("qdrant_client")

from retrieval.engines.qdrant.server import QdrantServer
from support import pushed_toys

if TYPE_CHECKING:
    from support.edge_client import EdgeClient


@pytest.fixture(params=["folder", "server"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty place."""
    if request.param == "folder":
        yield f"qdrant+file:{tmp_path / 'qdrant'}#toys"
        return
    server = pushed_toys.server_address()
    yield server
    pushed_toys.delete_pushed(server)


@pytest.fixture
def edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EdgeClient:
    """A client of Qdrant's engine, which every server address is connected to."""
    pytest.importorskip("qdrant_edge")
    from support.edge_client import EdgeClient

    client = EdgeClient(tmp_path / "edge")
    monkeypatch.setattr(QdrantServer, "_new_client", lambda self, seconds: client)
    monkeypatch.setattr(QdrantServer, "_version", lambda self, probe: (1, 17))
    return client


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection; for reading only."""
    return pushed_toys.toys(tmp_path_factory.mktemp("toys") / "toys")
