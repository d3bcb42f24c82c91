"""Commands on media and collections of an S3 server of the loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.object_stores import address_of
from retrieval.errors import CollectionNotFoundError
from support.commands import run
from support.object_store import BUCKET, object_store, put_folder
from support.toy_runs import pictures

pytest.importorskip("s3fs")
pytest.importorskip("moto")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with object_store(monkeypatch) as system:
        yield system


def current(store: Any) -> str:
    store.invalidate_cache()
    return str(store.cat_file("bucket/library/CURRENT").decode().split()[0])


def test_a_collection_on_a_store_is_embedded_indexed_and_searched(
    store: Any, tmp_path: Path
) -> None:
    put_folder(store, pictures(tmp_path / "media", "red", "green"), f"{BUCKET}/photos")
    library = f"{BUCKET}/library"
    output = run("embed", f"{BUCKET}/photos", "-c", library, "--model", "tiny", "--workers", 0)
    assert output.startswith("2 items added (2 images")
    assert current(store) == "000001"
    run("index", library, "--kind", "exact")
    assert int(current(store)) > 1
    before = current(store)
    answer = json.loads(run("search", library, "a red picture", "-k", 1, "--format", "json"))
    assert [hit["uri"] for hit in answer["hits"]] == [f"{BUCKET}/photos/red.png"]
    assert json.loads(run("status", library, "--format", "json"))["items"] == {"image": 2}
    assert current(store) == before
    run("remove", library, "--where", "uri LIKE '%red%'")
    assert json.loads(run("status", library, "--format", "json"))["items"] == {"image": 1}
    with pytest.raises(CollectionNotFoundError, match="is not a collection: it has no object CURR"):
        run("status", f"{BUCKET}/nothing")


def test_addresses_are_recognized_although_paths_join_their_slashes() -> None:
    assert address_of(Path("s3://bucket/a b/c")) == "s3://bucket/a b/c"
    assert address_of(Path("gs://bucket/c/")) == "gs://bucket/c"
    assert [address_of(Path(p)) for p in ("/s3:/b", "s3", "C:/x", "https://a/b", "s3:")] == [
        None
    ] * 5
