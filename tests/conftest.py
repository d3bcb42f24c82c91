"""Fixtures for every test: real media files, a small generated world, and an offline process."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

# Before any library reads it: no test may wait for a model hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Processes of tests share what is remembered of models; nothing remains in the user's cache.
if "RETRIEVAL_TEST_CACHE" not in os.environ:
    os.environ["RETRIEVAL_TEST_CACHE"] = os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from retrieval.collection import Collection
    from retrieval.demo.world import World
    from support.browser import Browser
    from support.hub.layouts import RealLayouts
    from support.hub.server import Hub


def pytest_addoption(parser: pytest.Parser) -> None:
    """Folders for `make test-online`."""
    parser.addoption("--data", help="Folder of official suites, one folder for each.")
    parser.addoption("--media", help="Folder of pictures whose names say what they show.")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real photographs, recordings and videos, named by RETRIEVAL_REAL_DATA."""
    folder = os.environ.get("RETRIEVAL_REAL_DATA")
    if not folder:
        pytest.skip("RETRIEVAL_REAL_DATA is not set: no real media files here")
    path = Path(folder).resolve()
    if not path.is_dir():
        pytest.fail(f"RETRIEVAL_REAL_DATA names {path}, which is not a folder")
    return path


GROUPS = {"hub": "hub", "real_layouts": "hub", "browser": "browser"}
"""The mark of a test, by the fixture that it uses. Each group has a target in the Makefile."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their fixtures, and skip GPU tests without a GPU."""
    for item in items:
        for name in GROUPS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(GROUPS[name])
    _skip_without_gpu([item for item in items if item.get_closest_marker("gpu")])


def _skip_without_gpu(items: list[pytest.Item]) -> None:
    """Skip these tests if there is no GPU; REQUIRE_GPU=1 asks for their failure instead."""
    if not items or os.environ.get("REQUIRE_GPU") == "1":
        return
    import torch

    if torch.cuda.is_available():
        return
    for item in items:
        item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


@pytest.fixture(scope="session")
def browser() -> Browser:
    """Chromium; the tests that use it are skipped without one."""
    from support.browser import find_browser

    found = find_browser()
    if found is None:
        pytest.skip("no chromium here")
    return found


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """24 pictures, 6 recordings and 3 videos of the demo world."""
    from retrieval.demo.world import WorldSettings, write_world

    settings = WorldSettings(
        seed=7, images=24, tunes=6, videos=3, video_seconds=(20.0, 30.0), tune_seconds=(8.0, 24.0)
    )
    return write_world(tmp_path_factory.mktemp("world"), settings)


@pytest.fixture(scope="session")
def indexed(world: World, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """The world embedded by `tiny` and indexed; for reading only."""
    from retrieval.collection import Collection
    from retrieval.embedding.options import EmbedOptions

    collection = Collection(tmp_path_factory.mktemp("collection") / "c", device="cpu")
    report = collection.add(world.folder, options=EmbedOptions(models=("tiny",), device="cpu"))
    assert report.failed == 0
    collection.index()
    return collection


@pytest.fixture(scope="session")
def small_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained Whisper in the format of CTranslate2."""
    pytest.importorskip("faster_whisper")
    from support.small_models.whisper import save_whisper

    return save_whisper(tmp_path_factory.mktemp("whisper") / "small")


@pytest.fixture
def copied(indexed: Collection, tmp_path: Path) -> Collection:
    """A copy of the indexed collection that a test may change."""
    from retrieval.collection import Collection

    shutil.copytree(indexed.root, tmp_path / "copy")
    collection = Collection(tmp_path / "copy", device="cpu")
    collection._encoders = indexed._encoders
    return collection


@pytest.fixture(scope="session")
def real_layouts(tmp_path_factory: pytest.TempPathFactory) -> RealLayouts:
    """Repositories laid out as on the real hub, at reduced size; each is made when asked for."""
    from support.hub.layouts import RealLayouts

    return RealLayouts(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def real_layout_hub(
    real_layouts: RealLayouts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    """A hub with those repositories; huggingface_hub is pointed to it and to an empty cache."""
    from support.hub.client import use
    from support.hub.layouts import MOVED
    from support.hub.server import Hub, serve

    with serve(Hub(real_layouts, moved=dict(MOVED))) as hub:
        use(hub, tmp_path / "hub-cache", monkeypatch)
        yield hub
