"""Promises about damaged collections: files, manifests, links out of the folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from store_samples import PICTURES, content, grow
from writer_runs import ITEMS

from retrieval.errors import (
    CollectionDamagedError,
    CollectionFormatError,
)
from retrieval.store.compact import compact
from retrieval.store.current import CurrentGeneration, manifest_path
from retrieval.store.manifest import Manifest
from retrieval.store.reader import Snapshot
from retrieval.store.schema import ITEMS as ITEM_COLUMNS
from retrieval.store.schema import NOT_NULL
from retrieval.store.shards import read_rows, read_schema
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.types import Failure


def damaged(path: Path, how: str) -> bytes:
    """Damage a file; returns what it held."""
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = bytes([*whole[:middle], whole[middle] ^ 4, *whole[middle + 1 :]])
    path.write_bytes({"truncated": whole[:-1], "empty": b"", "flipped": flipped}[how])
    return whole


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped"])
def test_fault_12_every_damaged_file_is_found_by_its_name(collection: Snapshot, how: str) -> None:
    root = collection.root
    with CollectionWriter.open(root) as writer:
        writer.remove([3])
    manifest = Snapshot.open(root).manifest
    for file in manifest.files:
        whole = damaged(root / file.path, how)
        problems = verify(root)
        assert len(problems) == 1
        assert file.path in problems[0]
        if how != "flipped":
            with pytest.raises(CollectionDamagedError, match=file.path):
                Snapshot.open(root)
        (root / file.path).write_bytes(whole)
    assert verify(root) == []


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped"])
@pytest.mark.parametrize("name", ["CURRENT", "manifests/000003.json"])
def test_fault_12_damaged_manifest_or_current_is_found_at_opening(
    collection: Snapshot, name: str, how: str
) -> None:
    damaged(collection.root / name, how)
    with pytest.raises(CollectionDamagedError, match=name):
        Snapshot.open(collection.root)
    problems = verify(collection.root)
    assert len(problems) == 1
    assert name in problems[0]


def test_fault_12_every_flipped_bit_of_current_is_found(collection: Snapshot) -> None:
    path = collection.root / "CURRENT"
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(CollectionDamagedError, match=r"CURRENT"):
            Snapshot.open(collection.root)


def test_fault_12_a_missing_current_fails(collection: Snapshot) -> None:
    (collection.root / "CURRENT").unlink()
    with pytest.raises(CollectionDamagedError, match=r"CURRENT is missing, but manifests/000003"):
        Snapshot.open(collection.root)
    with pytest.raises(CollectionDamagedError, match="CURRENT is missing"):
        CollectionWriter.open(collection.root, create=True)


def test_fault_13_truncated_index_is_refused_at_opening(collection: Snapshot) -> None:
    (folder,) = collection.index_folders(PICTURES.name)
    assert folder is not None
    damaged(folder / "exact.faiss", "truncated")
    with pytest.raises(CollectionDamagedError, match=r"exact.faiss has 699 bytes, .* lists 700"):
        Snapshot.open(collection.root)


def rewrite_manifest(root: Path, **changes: object) -> None:
    """Put other values into the current manifest, under a digest that is right."""
    path = root / "manifests/000003.json"
    raw = json.loads(path.read_bytes()) | changes
    path.write_text(json.dumps(raw))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (root / "CURRENT").write_bytes(CurrentGeneration(3, digest).to_bytes())


@pytest.mark.parametrize(
    "path", ["../outside.parquet", "items/../../outside.parquet", "/etc/passwd", "items/x.parquet"]
)
def test_fault_14_paths_out_of_the_collection_fail(collection: Snapshot, path: str) -> None:
    file = {"path": path, "bytes": 1, "sha256": "0" * 64, "rows": 0}
    rewrite_manifest(collection.root, files=[file | {"first_item_id": None, "last_item_id": None}])
    with pytest.raises(CollectionFormatError, match="is not valid in this format"):
        Snapshot.open(collection.root)


@pytest.mark.parametrize("name", ["items/00000.parquet", "items", "manifests/000003.json"])
def test_fault_14_links_out_of_the_collection_fail(
    collection: Snapshot, tmp_path: Path, name: str
) -> None:
    link = collection.root / name
    link.rename(tmp_path / "outside")
    link.symlink_to(tmp_path / "outside")
    with pytest.raises(CollectionFormatError, match=r"leads out of the collection"):
        Snapshot.open(collection.root)
    assert any("leads out of the collection" in problem for problem in verify(collection.root))


def test_fault_14_links_in_a_circle_fail(collection: Snapshot) -> None:
    path = collection.root / "items/00000.parquet"
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(CollectionDamagedError, match=r"items/00000.parquet"):
        Snapshot.open(collection.root)


def test_fault_14_other_versions_and_invalid_json_fail(collection: Snapshot) -> None:
    rewrite_manifest(collection.root, schema_version=3)
    with pytest.raises(CollectionFormatError, match="schema version 3, expected 1 to 2"):
        Snapshot.open(collection.root)
    path = collection.root / "manifests/000003.json"
    path.write_text("{generation: 3}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (collection.root / "CURRENT").write_bytes(CurrentGeneration(3, digest).to_bytes())
    with pytest.raises(CollectionFormatError, match=r"000003.json is not valid JSON"):
        Snapshot.open(collection.root)


def test_fault_15_segments_of_another_dimension_fail(collection: Snapshot) -> None:
    raw = json.loads((collection.root / "manifests/000003.json").read_bytes())
    raw["spaces"][0]["dim"] = 16
    rewrite_manifest(collection.root, spaces=raw["spaces"])
    snapshot = Snapshot.open(collection.root)
    with pytest.raises(CollectionFormatError, match=r"\[8\], expected .*\[16\]"):
        list(snapshot.iter_segments(PICTURES.name))


def test_fault_16_missing_shard_fails_and_an_unlisted_file_is_ignored(
    collection: Snapshot,
) -> None:
    (collection.root / "items/00077.parquet").write_bytes(b"not listed")
    before = content(collection.root)
    assert verify(collection.root) == []
    grow(collection.root, ITEMS + 1, publish_every=100)
    assert (
        Snapshot.open(collection.root).manifest.files_in("items")[-1].path == "items/00078.parquet"
    )
    assert content(collection.root)[:ITEMS] == before[:ITEMS]
    (collection.root / "items/00078.parquet").unlink()
    with pytest.raises(CollectionDamagedError, match=r"items/00078.parquet.* No such file"):
        Snapshot.open(collection.root)


def test_fault_12_invalid_utf8_text_is_damage(collection: Snapshot) -> None:
    path = collection.root / collection.manifest.files_in("items")[0].path
    table = pq.read_table(path)
    count = table.num_rows
    offsets = pa.array(range(count + 1), pa.int32()).buffers()[1]
    bad = pa.StringArray.from_buffers(count, offsets, pa.py_buffer(b"\xff" * count))
    pq.write_table(table.set_column(1, "uri", bad), path)
    with pytest.raises(CollectionDamagedError, match=r"items/00000\.parquet cannot be read"):
        list(read_rows(path, ITEM_COLUMNS))


def test_fault_12_an_invalid_utf8_column_name_is_damage(collection: Snapshot) -> None:
    path = collection.root / collection.manifest.files_in("items")[0].path
    path.write_bytes(path.read_bytes().replace(b"number", b"numb\xff\xff"))
    for read in (read_schema, lambda path: list(read_rows(path, ITEM_COLUMNS))):
        with pytest.raises(CollectionDamagedError, match=r"items/00000\.parquet cannot be read"):
            read(path)


@pytest.mark.parametrize("bits", [0x7C00, 0xFC00, 0x7E00, 0xFFFF])
def test_fault_12_a_stored_vector_that_is_not_finite_is_damage(
    collection: Snapshot, bits: int
) -> None:
    (first, *_) = collection.iter_segments(PICTURES.name)
    stored = first.vectors[0].tobytes()
    path = collection.root / collection.manifest.files_in(f"segments/{PICTURES.name}")[0].path
    content = path.read_bytes()
    assert content.count(stored) == 1
    path.write_bytes(content.replace(stored, np.uint16(bits).tobytes() + stored[2:]))
    damaged = Snapshot.open(collection.root)
    with pytest.raises(CollectionDamagedError, match="a stored vector is not finite; verify"):
        list(damaged.iter_segments(PICTURES.name))
    (problem,) = verify(collection.root)
    assert str(path) in problem


def test_fault_14_a_long_value_is_not_quoted_whole(collection: Snapshot) -> None:
    rewrite_manifest(collection.root, next_item_id="9" * 100_000)
    with pytest.raises(CollectionFormatError, match=r"next_item_id: .*'999") as caught:
        Snapshot.open(collection.root)
    assert len(str(caught.value)) < 1_000


def read_everything(root: Path) -> None:
    """Every way to read a collection's rows, and `compact`, which reads them all."""
    snapshot = Snapshot.open(root)
    list(snapshot.iter_items())
    snapshot.item_ids(), snapshot.removed_ids(), snapshot.known_files(), snapshot.open_failures()
    for space in snapshot.spaces:
        list(snapshot.iter_segments(space.name)), list(snapshot.iter_frames(space.name))
        snapshot.item_segments(space.name, 1), snapshot.item_frames(space.name, 1)
    compact(root)


RETYPED = {
    "missing": lambda table, n: table.remove_column(n),
    "renamed": lambda table, n: table.rename_columns(
        [*table.column_names[:n], "x", *table.column_names[n + 1 :]]
    ),
    "text": lambda table, n: table.set_column(
        n, table.column_names[n], pa.array([str(v) for v in table.column(n).to_pylist()])
    ),
    "null": lambda table, n: table.set_column(
        n, table.column_names[n], pa.nulls(table.num_rows, table.column(n).type)
    ),
    "no columns": lambda table, n: table.select([]),
}


@pytest.mark.parametrize("change", RETYPED)
@pytest.mark.parametrize("folder", ["items", "segments", "frames", "removed", "failures"])
def test_field_29_retyped_columns_under_a_right_digest_fail(
    collection: Snapshot, folder: str, change: str
) -> None:
    """The files were written by another program: the digests say nothing."""
    root = collection.root
    with CollectionWriter.open(root) as writer:
        writer.remove([3])
        writer.add_failure(Failure("lost.png", "decode", "it is gone", 1, 1.0))
    manifest = Snapshot.open(root).manifest
    listed = next(file for file in manifest.files if file.path.startswith(folder))
    path = root / listed.path
    whole = path.read_bytes()
    table = pq.read_table(pa.BufferReader(whole))
    required = NOT_NULL if change == "null" else {*NOT_NULL, "bytes", "start_seconds"}
    for position, name in enumerate(table.column_names):
        is_text = table.schema.field(name).type == pa.string()
        if name not in required or (change == "text" and is_text):
            continue
        pq.write_table(RETYPED[change](table, position), path)
        with pytest.raises((CollectionDamagedError, CollectionFormatError), match=listed.path):
            read_everything_with_right_digests(root, manifest)
    path.write_bytes(whole)


def read_everything_with_right_digests(root: Path, manifest: Manifest) -> None:
    files = [
        replace(
            file,
            bytes=(root / file.path).stat().st_size,
            sha256=hashlib.sha256((root / file.path).read_bytes()).hexdigest(),
        )
        for file in manifest.files
    ]
    changed = replace(manifest, files=tuple(files))
    blob = changed.to_json()
    (root / manifest_path(manifest.generation)).write_bytes(blob)
    (root / "CURRENT").write_bytes(CurrentGeneration.of(changed).to_bytes())
    read_everything(root)
