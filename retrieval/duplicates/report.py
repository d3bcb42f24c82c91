"""Writes groups of near-duplicates as JSON, Parquet or an HTML page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path

import pyarrow as pa

from retrieval.columns.types import json_value
from retrieval.duplicates.groups import DuplicateGroup, DuplicateItem
from retrieval.duplicates.overlaps import Overlap
from retrieval.errors import QueryError
from retrieval.files.writing import check_output, write_atomically
from retrieval.gallery.page import GallerySection, write_gallery
from retrieval.store.shards import write_rows
from retrieval.types import Hit

FORMATS = (".parquet", ".json")

MATCH = pa.struct(
    {
        "item_id": pa.int64(),
        "score": pa.float64(),
        "share": pa.float64(),
        "overlaps": pa.list_(pa.struct({field.name: pa.float64() for field in fields(Overlap)})),
    }
)
COLLECTION = pa.field("collection", pa.string())
"""A further column of items and matches if several collections are compared."""

SCHEMA = pa.schema(
    {
        "group": pa.int64(),
        "space": pa.string(),
        "modality": pa.string(),
        "item_id": pa.int64(),
        "uri": pa.string(),
        "matches": pa.list_(MATCH),
        "missing": pa.bool_(),
    }
)

MAX_GROUPS_SHOWN = 200
"""Maximum number of groups on a page, which embeds all pictures."""

FOOTER = "Scores and spans refer to the best match of each item; the span is their first overlap."

BATCH_ROWS = 1_024


def check_report(out: Path) -> None:
    """Refuse an output file before any work is done.

    Raises:
        QueryError: The extension is no known format.
        StorageError: The folder is missing or not writable.
    """
    if out.suffix not in FORMATS:
        raise QueryError(f"{out}: the formats are {' and '.join(FORMATS)}; rename it")
    check_output(out)


def write_report(out: Path, groups: Sequence[DuplicateGroup]) -> None:
    """Write all groups in the format of the extension.

    Raises:
        StorageError: The file cannot be written.
    """
    with write_atomically(out) as file:
        if out.suffix == ".json":
            file.write(json.dumps(as_json(groups), ensure_ascii=False, default=json_value).encode())
        else:
            write_rows(file, _schema(groups), _batches(groups))


def as_json(groups: Sequence[DuplicateGroup]) -> dict[str, object]:
    """Return the JSON document of all groups, numbered from 1.

    `collection` is present only if several collections are compared.
    """
    documents = [{"group": number, **asdict(group)} for number, group in enumerate(groups, 1)]
    for document in documents:
        for item in document["items"]:
            for each in (item, *item["matches"]):
                if each["collection"] is None:
                    del each["collection"]
    return {"groups": documents}


def are_named(groups: Sequence[DuplicateGroup]) -> bool:
    """Whether items name their collections."""
    return any(item.collection is not None for group in groups[:1] for item in group.items)


def _schema(groups: Sequence[DuplicateGroup]) -> pa.Schema:
    if not are_named(groups):
        return SCHEMA
    position = SCHEMA.get_field_index("matches")
    matches = pa.field("matches", pa.list_(pa.struct([*MATCH, COLLECTION])))
    return SCHEMA.set(position, matches).append(COLLECTION)


def _batches(groups: Sequence[DuplicateGroup]) -> Iterator[pa.RecordBatch]:
    rows, schema = _rows(groups), _schema(groups)
    while batch := list(islice(rows, BATCH_ROWS)):
        yield pa.RecordBatch.from_pylist(batch, schema=schema)


def _rows(groups: Sequence[DuplicateGroup]) -> Iterator[dict[str, object]]:
    """Yield one row per item, with groups numbered from 1."""
    for number, group in enumerate(groups, 1):
        for item in group.items:
            yield {
                "group": number,
                "space": group.space,
                "modality": group.modality.value,
                "item_id": item.item_id,
                "uri": item.uri,
                "matches": [asdict(match) for match in item.matches],
                "missing": item.missing,
                "collection": item.collection,
            }


def write_page(out: Path, groups: Sequence[DuplicateGroup], *, title: str) -> None:
    """Write the largest groups as an HTML page.

    Raises:
        StorageError: The file cannot be written.
    """
    sections = [
        GallerySection(
            f"{len(group.items)} near-duplicates",
            [_hit(rank, item, group) for rank, item in enumerate(group.items, 1)],
            note=f" group {number} · {group.modality}",
        )
        for number, group in enumerate(groups[:MAX_GROUPS_SHOWN], 1)
    ]
    write_gallery(out, sections, title=title, footer=FOOTER)


def _hit(rank: int, item: DuplicateItem, group: DuplicateGroup) -> Hit:
    best = item.matches[0]
    overlap = best.overlaps[0] if best.overlaps else None
    return Hit(
        rank=rank,
        score=best.score,
        item_id=item.item_id,
        uri=item.uri,
        modality=group.modality,
        medium=group.modality,
        start_seconds=overlap.start_seconds if overlap else None,
        end_seconds=overlap.end_seconds if overlap else None,
        space=group.space,
        likely=True,
        metadata=item.metadata,
        collection=item.collection,
    )
