"""Fixtures for every test: the folder of real media files, and a quiet, offline process."""

import os
from pathlib import Path

# Before any library reads it: no test may wait for a model hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip GPU tests without a GPU, unless REQUIRE_GPU=1 asks for a failure instead."""
    if os.environ.get("REQUIRE_GPU") == "1" or not any(i.get_closest_marker("gpu") for i in items):
        return
    import torch

    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))
