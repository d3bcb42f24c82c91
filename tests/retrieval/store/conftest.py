"""Lets these tests import their samples, and makes small collections."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from store_samples import grow

from retrieval.store.reader import Snapshot


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a collection will be; the folder does not exist yet."""
    return tmp_path / "collection"


@pytest.fixture
def collection(root: Path) -> Snapshot:
    """Twelve items in two generations, and an index of the first space in a third."""
    grow(root, 12, publish_every=6, index=True)
    return Snapshot.open(root)
