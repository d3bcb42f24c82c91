"""The examples of docs/format.md, run on a collection that has one of everything."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from store_samples import PICTURES, SOUND, item

from retrieval.store.manifest import ListedFile, Manifest
from retrieval.store.reader import Snapshot
from retrieval.store.schema import (
    FAILURES,
    ITEM_IDS,
    ITEMS,
    TEXT_SCHEMAS,
    frames_schema,
    segments_schema,
)
from retrieval.store.writer import CollectionWriter
from retrieval.types import Failure, Space

DOCUMENT = Path(__file__).parents[3] / "docs/format.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def names(collection: Snapshot, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the first example defines, beside a collection of that name."""
    with CollectionWriter.open(collection.root) as writer:
        writer.add(item(12, artist="Satie"))
        writer.add(item(14, artist="Satie"))
        writer.remove([2])
        writer.update(4, item(4).info, {"caption"})
        writer.add_failure(Failure("/media/x", "open", "empty"))
    collection.root.rename(collection.root.with_name("COLLECTION"))
    monkeypatch.chdir(collection.root.parent)
    defined: dict[str, Any] = {}
    exec(EXAMPLES[0], defined)
    return defined


def test_example_with_duckdb(names: dict[str, Any]) -> None:
    exec(EXAMPLES[1], names)
    assert names["longest"] == [(f"/media/{number:04d}", 2, 4.0) for number in (5, 8, 11)]


def test_example_with_texts(names: dict[str, Any]) -> None:
    exec(EXAMPLES[1] + EXAMPLES[2], names)
    assert names["said"] == [
        (f"/media/{number:04d}", "transcript", 0.0, f"hello {number}") for number in (5, 8, 11, 14)
    ]


def test_example_with_pyarrow(names: dict[str, Any]) -> None:
    exec(EXAMPLES[3], names)
    score, item_id = names["nearest"][0]
    assert item_id == 0
    assert score == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("library", "example"), [("pandas", 4), ("polars", 5)])
def test_example_with(names: dict[str, Any], library: str, example: int) -> None:
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed here")
    exec(EXAMPLES[example], names)
    assert len(names["items_frame"]) == 14


def test_duckdb_reads_embeddings_as_lists_of_float(collection: Snapshot) -> None:
    (file, _) = collection.manifest.files_in(f"segments/{PICTURES.name}")
    with duckdb.connect() as connection:
        rows = connection.read_parquet(str(collection.root / file.path))
        assert [str(each) for each in rows.types] == [
            "BIGINT", "VARCHAR", "FLOAT", "FLOAT", "FLOAT[]",
        ]  # fmt: skip
        first = rows.limit(1).fetchall()[0]
    assert first[:4] == (0, "image", None, None)
    stored = collection.item_segments(PICTURES.name, 0).vectors[0].tolist()
    assert first[4] == pytest.approx(stored, abs=0)


def test_every_kind_of_file_has_the_documented_columns(names: dict[str, Any]) -> None:
    snapshot = Snapshot.open(Path("COLLECTION"))
    expected = {
        "items": ITEMS,
        f"segments/{PICTURES.name}": segments_schema(8),
        f"segments/{SOUND.name}": segments_schema(4),
        f"frames/{PICTURES.name}": frames_schema(8),
        **TEXT_SCHEMAS,
        "removed": ITEM_IDS,
        "updated": ITEM_IDS,
        "failures": FAILURES,
    }
    for folder, schema in expected.items():
        for file in snapshot.manifest.files_in(folder):
            found = pq.read_schema(snapshot.root / file.path)
            assert list(found)[: len(schema)] == list(schema)
            for name in schema.names:
                assert f"`{name}`" in DOCUMENT.read_text(encoding="utf-8")


def test_vectors_are_stored_plainly_and_media_as_a_dictionary(collection: Snapshot) -> None:
    file = collection.manifest.files_in(f"segments/{PICTURES.name}")[0]
    group = pq.read_metadata(collection.root / file.path).row_group(0)
    columns = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    vectors = columns["embedding.list.element"]
    assert (vectors.has_dictionary_page, vectors.compression) == (False, "UNCOMPRESSED")
    assert columns["medium"].has_dictionary_page


@pytest.mark.parametrize("kind", [Manifest, ListedFile, Space])
def test_every_key_of_a_manifest_is_documented(kind: type) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name in kind.__dataclass_fields__:  # type: ignore[attr-defined]
        assert f"`{name}`" in text
