"""A served collection of toys, and a copy that a test may change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from retrieval.serving.services import Services
from support import served_toys


@dataclass(frozen=True)
class Served:
    """A client, what it talks to, and the ids of the items by file name."""

    client: TestClient
    services: Services
    root: Path
    media: Path
    ids: dict[str, int]

    def url(self, route: str, name: str, query: str = "") -> str:
        """The address of an item in a route."""
        slug = next(iter(self.services.library)).slug
        return f"/{route}/{slug}/{self.ids[name]}{query}"


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of media and their collection; for reading only."""
    folder = tmp_path_factory.mktemp("served")
    media = served_toys.write_media(folder / "media")
    with pytest.MonkeyPatch.context() as patch:
        return media, served_toys.embed_toys(media, folder / "toys", patch.setattr)


@pytest.fixture(scope="module")
def shared(toys: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The collection, served to all tests of a module; for reading only."""
    media, root = toys
    with pytest.MonkeyPatch.context() as patch:
        served_toys.use_toys_for_searching(patch.setattr)
        cache = tmp_path_factory.mktemp("cache")
        with served_toys.served(root, cache=cache) as (client, services):
            yield Served(client, services, root, media, served_toys.ids_by_name(root))


@pytest.fixture
def own(
    toys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Served]:
    """A server of files and a collection that a test may change."""
    media, root = tmp_path / "media", tmp_path / "c"
    shutil.copytree(toys[0], media)
    served_toys.embed_toys(media, root, monkeypatch.setattr)
    served_toys.use_toys_for_searching(monkeypatch.setattr)
    with served_toys.served(root, cache=tmp_path / "cache") as (client, services):
        yield Served(client, services, root, media, served_toys.ids_by_name(root))
