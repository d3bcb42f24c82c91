"""Groups of near-duplicates as JSON, as Parquet and CSV with an item a row, and as a page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from retrieval.columns.types import json_value
from retrieval.duplicates.groups import DuplicateGroup, DuplicateItem
from retrieval.errors import QueryError
from retrieval.files.writing import check_output, write_atomically
from retrieval.gallery.page import GallerySection, write_gallery
from retrieval.store.shards import write_rows
from retrieval.types import Hit

FORMATS = (".parquet", ".json")

OVERLAP = pa.struct(
    [
        ("start_seconds", pa.float64()),
        ("end_seconds", pa.float64()),
        ("other_start_seconds", pa.float64()),
        ("other_end_seconds", pa.float64()),
        ("score", pa.float64()),
    ]
)
MATCH = pa.struct(
    [
        ("item_id", pa.int64()),
        ("score", pa.float64()),
        ("share", pa.float64()),
        ("overlaps", pa.list_(OVERLAP)),
    ]
)
SCHEMA = pa.schema(
    [
        ("group", pa.int64()),
        ("space", pa.string()),
        ("modality", pa.string()),
        ("item_id", pa.int64()),
        ("uri", pa.string()),
        ("matches", pa.list_(MATCH)),
        ("missing", pa.bool_()),
    ]
)

GROUPS_SHOWN = 200
"""Groups on a page: each picture lies in it."""

FOOTER = "Each is shown with what it is most like; the span is the first that both have."

BATCH_ROWS = 1_024


def check_report(out: Path) -> None:
    """Refuse a file that could not be written in the end.

    Raises:
        QueryError: Its extension is no known format.
        StorageError: Its folder is missing or cannot be written to.
    """
    if out.suffix not in FORMATS:
        raise QueryError(f"{out}: the formats are {' and '.join(FORMATS)}; rename it")
    check_output(out)


def write_report(out: Path, groups: Sequence[DuplicateGroup]) -> None:
    """Write all groups; the format goes by the extension.

    Raises:
        StorageError: The file cannot be written.
    """
    with write_atomically(out) as file:
        if out.suffix == ".json":
            file.write(json.dumps(as_json(groups), ensure_ascii=False, default=json_value).encode())
        else:
            write_rows(file, SCHEMA, _batches(groups))


def as_json(groups: Sequence[DuplicateGroup]) -> dict[str, object]:
    """The object that `dups --format json` prints."""
    return {
        "groups": [{"group": number, **asdict(group)} for number, group in enumerate(groups, 1)]
    }


def rows(groups: Sequence[DuplicateGroup]) -> Iterator[dict[str, object]]:
    """An item a row, numbered by group from 1."""
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
            }


def _batches(groups: Sequence[DuplicateGroup]) -> Iterator[pa.RecordBatch]:
    waiting: list[dict[str, object]] = []
    for row in rows(groups):
        waiting.append(row)
        if len(waiting) == BATCH_ROWS:
            yield pa.RecordBatch.from_pylist(waiting, schema=SCHEMA)
            waiting = []
    if waiting:
        yield pa.RecordBatch.from_pylist(waiting, schema=SCHEMA)


def write_page(out: Path, groups: Sequence[DuplicateGroup], *, title: str) -> None:
    """Write the largest groups as a page.

    Raises:
        StorageError: The file cannot be written.
    """
    sections = [
        GallerySection(
            f"{len(group.items)} of a kind",
            [_hit(rank, item, group) for rank, item in enumerate(group.items, 1)],
            note=f" group {number} · {group.modality}",
        )
        for number, group in enumerate(groups[:GROUPS_SHOWN], 1)
    ]
    write_gallery(out, sections, title=title, footer=FOOTER)


def _hit(rank: int, item: DuplicateItem, group: DuplicateGroup) -> Hit:
    nearest = item.matches[0]
    first = nearest.overlaps[0] if nearest.overlaps else None
    return Hit(
        rank=rank,
        score=nearest.score,
        item_id=item.item_id,
        uri=item.uri,
        modality=group.modality,
        medium=group.modality,
        start_seconds=first.start_seconds if first else None,
        end_seconds=first.end_seconds if first else None,
        space=group.space,
        likely=True,
        metadata=item.metadata,
    )
