"""A pushed collection is opened by its address; what something else changed is refused."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path
from typing import Any

import pytest

from retrieval.engines.qdrant.address import QdrantAddress
from retrieval.engines.qdrant.generations import open_current
from retrieval.engines.qdrant.push import push
from retrieval.engines.qdrant.pushed import open_pushed
from retrieval.engines.qdrant.server import QdrantServer
from retrieval.errors import (
    CollectionDamagedError,
    CollectionFormatError,
    CollectionLockedError,
    CollectionNotFoundError,
    QueryError,
)
from support import pushed_toys


@pytest.fixture
def small(tmp_path: Path) -> str:
    root = pushed_toys.toys(tmp_path / "c", 24, index=False)
    address = f"qdrant+file:{tmp_path / 'q'}#toys"
    push(root, address)
    return address


def test_the_folder_is_used_where_it_has_the_pushed_generation(tmp_path: Path) -> None:
    root = pushed_toys.toys(tmp_path / "c", 24, index=False)
    address = f"qdrant+file:{tmp_path / 'q'}#toys"
    push(root, address)
    with open_pushed(address) as found:
        assert found.source == root
    with open_pushed(address, use_source=False) as found:
        assert found.source is None
    moved = root.rename(tmp_path / "moved")
    with open_pushed(address) as found:
        assert found.source is None
    with pushed_toys.searched(address, collection=moved) as found:
        assert found.source == moved
        assert found.search("red", to="moment") == pushed_toys.opened(moved).search(
            "red", to="moment", text="off"
        )
    newer = Path(shutil.copytree(moved, root))
    pushed_toys.write(newer, range(24, 25))
    with open_pushed(address) as found:
        assert found.source is None
    with pytest.raises(QueryError, match=r"was pushed from generation 2, and .* is at 3; push it"):
        open_pushed(address, collection=newer)
    with pytest.raises(QueryError, match="is no collection"):
        open_pushed(address, collection=tmp_path)


def test_a_changed_number_of_points_is_refused(small: str) -> None:
    with QdrantServer(QdrantAddress.parse(small)) as server:
        current = open_current(server, "toys")
        records, _ = server.call("scroll", current.collection, limit=1)
        server.call("delete", current.collection, points_selector=[records[0].id], wait=True)
    with pytest.raises(CollectionDamagedError, match=r"has \d+ points, its metadata lists \d+"):
        open_pushed(small)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, r"was pushed in format 99, this release reads 1; push"),
        ({"spaces": "none"}, "the metadata of .* was changed"),
        ({"more": 1}, "the metadata of .* was changed .*more is an unknown key"),
        ({"complete": False}, "its metadata lists"),
    ],
)
def test_changed_metadata_are_refused(
    small: str, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with QdrantServer(QdrantAddress.parse(small)) as server:
        current = open_current(server, "toys")
        metadata = current.card.to_metadata()
        metadata["retrieval"] |= change
        server.call("update_collection", current.collection, metadata=metadata)
    with pytest.raises((CollectionFormatError, CollectionDamagedError), match=message) as caught:
        open_pushed(small)
    assert "\n" not in str(caught.value)
    assert push(tmp_path / "c", small).sent == 0
    with open_pushed(small) as found:
        assert found.card == current.card


def test_the_only_pushed_collection_needs_no_name(small: str, tmp_path: Path) -> None:
    bare = small.partition("#")[0]
    with open_pushed(bare) as found:
        assert found.address == small
    with pytest.raises(CollectionNotFoundError, match=r"no collection 'other' .*they are: toys"):
        open_pushed(f"{bare}#other")
    push(tmp_path / "c", f"{bare}#more")
    with pytest.raises(CollectionNotFoundError, match=r"name one of .*they are: more, toys"):
        open_pushed(bare)


def test_folders_that_are_no_qdrant(small: str, tmp_path: Path) -> None:
    del small
    for folder in (tmp_path / "missing", tmp_path / "c"):
        with pytest.raises(CollectionNotFoundError, match="is not a folder of Qdrant"):
            open_pushed(f"qdrant+file:{folder}")
    assert not (tmp_path / "missing").exists()
    with pytest.raises(CollectionNotFoundError, match="is not a folder of Qdrant"):
        push(tmp_path / "c", f"qdrant+file:{tmp_path / 'c'}")
    (tmp_path / "q" / "meta.json").write_text("{")
    with pytest.raises(CollectionDamagedError, match=r"meta.json is damaged"):
        open_pushed(f"qdrant+file:{tmp_path / 'q'}")


@pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*lock:pytest.PytestUnraisableExceptionWarning"
)
def test_a_folder_is_open_once(small: str) -> None:
    """The client that cannot lock the folder leaves a file open."""
    with open_pushed(small), pytest.raises(CollectionLockedError, match="open in another process"):
        open_pushed(small)
    gc.collect()
    with pushed_toys.searched(small) as found:
        assert found.search(like=6)
