"""A small world of files and a collection of it, made once with the bundled models."""

from pathlib import Path

import pytest

from retrieval.collection import Collection
from retrieval.demo.world import World, WorldSettings, write_world
from retrieval.embedding import EmbedOptions

SETTINGS = WorldSettings(
    seed=7, images=24, tunes=6, videos=3, video_seconds=(20.0, 30.0), tune_seconds=(8.0, 24.0)
)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return write_world(tmp_path_factory.mktemp("world"), SETTINGS)


@pytest.fixture(scope="session")
def indexed(world: World, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """24 pictures, 6 recordings and 3 videos, embedded by `tiny` and indexed; for reading only."""
    collection = Collection(tmp_path_factory.mktemp("collection") / "c", device="cpu")
    report = collection.add(world.folder, options=EmbedOptions(models=("tiny",), device="cpu"))
    assert report.failed == 0
    collection.index()
    return collection


@pytest.fixture
def copied(indexed: Collection, tmp_path: Path) -> Collection:
    """A copy of the indexed collection that a test may change."""
    import shutil

    shutil.copytree(indexed.root, tmp_path / "copy")
    collection = Collection(tmp_path / "copy", device="cpu")
    collection._encoders = indexed._encoders
    return collection
