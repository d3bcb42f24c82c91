"""Media for the tests of commands."""

from pathlib import Path

import pytest

from retrieval.demo.world import World


@pytest.fixture(scope="session")
def mixed(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture, a recording and a short video."""
    folder = tmp_path_factory.mktemp("mixed")
    for kind in ("images", "music", "videos"):
        path = min(path for path in (world.folder / kind).iterdir() if path.suffix != ".txt")
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="session")
def world_pictures(world: World) -> list[Path]:
    """Two pictures that are not in `mixed`."""
    return sorted((world.folder / "images").glob("*.png"))[1:3]
