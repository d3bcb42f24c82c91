"""`merge`: joins collections into a new one, without embedding again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retrieval.errors import CollectionError, OutputExistsError, QueryError
from retrieval.failure_stages import PARTIAL_STAGES
from retrieval.progress import Progress, no_progress
from retrieval.store.appending import Addition, append_items, joined_spaces, numbered
from retrieval.store.blocks import id_array, isin_sorted
from retrieval.store.current import read_current
from retrieval.store.folder import delete_unpublished
from retrieval.store.id_table import IDS_SUFFIX, is_id_table, write_id_table
from retrieval.store.reader import Snapshot
from retrieval.store.versions import superseded_items
from retrieval.store.writer import CollectionWriter
from retrieval.types import Failure


@dataclass(frozen=True, slots=True)
class MergeReport:
    """Counts of a merge.

    Attributes:
        items: Items of the new collection.
        superseded: Items that are left out, because a newer version of their file is there.
        failures: Files that could not be used.
        id_table: The Parquet file of old and new ids.
        notices: Columns that are stored under another name or type, and spaces with gaps.
    """

    items: int
    superseded: int
    failures: int
    id_table: Path
    notices: tuple[str, ...]
    seconds: float

    def summary(self) -> str:
        """Format the report as one line."""
        older = f", {self.superseded} older versions left out" if self.superseded else ""
        failed = f", {self.failures} failures" if self.failures else ""
        return f"{self.items} items{older}{failed} in {self.seconds:.1f} s; ids: {self.id_table}"


def merge(
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    progress: Progress = no_progress,
) -> MergeReport:
    """Join collections into a new one.

    Items get new ids, in the order of the collections and of their old ids. Of several items with
    the same uri, the one with the latest modification time stays; at equal times that of the first
    collection. Columns, segments, frames, texts, sidecars and open failures are copied, indexes are
    not. The new collection is published at once, at the end; a killed merge is repeated.

    `OUTPUT-ids.parquet`, beside the new collection, lists old and new ids.

    Args:
        inputs: Folders of collections.
        output: Folder of the new collection; it does not exist, or is empty.
        progress: Receives the number of copied files.

    Raises:
        CollectionError: `output` is a collection or holds other files, or an input is damaged.
        OutputExistsError: Another file has the name of the table of ids.
        QueryError: There are no inputs, or one is named twice.
        SpaceMismatchError: Two spaces of one name have different digests.
        StorageError: The disk refused; there is no new collection.
    """
    start = time.monotonic()
    output = Path(output)
    snapshots = [Snapshot.open(root) for root in _checked_inputs(inputs)]
    joined_spaces((), [Addition(snapshot, _NO_IDS) for snapshot in snapshots])
    id_table = output.absolute().with_name(f"{output.absolute().name}{IDS_SUFFIX}")
    if os.path.lexists(id_table) and not is_id_table(id_table):
        raise OutputExistsError(f"{id_table} exists and is not a table of ids; rename it")
    with new_collection(output) as writer:
        scratch = output / ".versions.tmp"
        progress("comparing uris", 0, None)
        superseded = superseded_items(snapshots, scratch)
        shutil.rmtree(scratch, ignore_errors=True)
        additions = numbered(
            0,
            [
                Addition(snapshot, np.setdiff1d(snapshot.item_ids(), older.item_ids))
                for snapshot, older in zip(snapshots, superseded, strict=True)
            ],
        )
        failures = _open_failures(additions)
        write_id_table(id_table, additions, superseded)
        append_items(writer, additions, failures=failures, progress=progress)
        return MergeReport(
            items=sum(len(addition.item_ids) for addition in additions),
            superseded=sum(len(older.item_ids) for older in superseded),
            failures=len(failures),
            id_table=id_table,
            notices=tuple(writer.notices.lines()),
            seconds=time.monotonic() - start,
        )


_NO_IDS = np.empty(0, np.int64)


def new_collection(root: Path) -> CollectionWriter:
    """Open the writer of a collection that does not exist yet.

    Files that a killed run wrote there and never published are deleted.

    Raises:
        CollectionError: The folder is a collection, or holds other files.
        StorageError: The folder is not writable.
    """
    if read_current(root) is None:
        writer = CollectionWriter.open(root, create=True)
        if writer.snapshot is None:
            delete_unpublished(root)
            return writer
        with writer:
            pass
    raise CollectionError(f"{root} is a collection already; name a new folder")


def _checked_inputs(inputs: Sequence[str | os.PathLike[str]]) -> list[Path]:
    roots: dict[str, Path] = {}
    for given in inputs:
        root = Path(given)
        real = os.path.realpath(root)
        if real in roots:
            raise QueryError(f"{root} and {roots[real]} are the same collection; name it once")
        roots[real] = root
    if not roots:
        raise QueryError("no collection is given; name those to merge")
    return list(roots.values())


# ---------------------------------------------------------------- failures


def _open_failures(additions: Sequence[Addition]) -> list[Failure]:
    """Return the failures that no newer item of another collection resolves.

    Of several failures of one uri, the one of the latest file stays. A failure of a part of an
    item stays if that item does.
    """
    by_input = [addition.snapshot.failures() for addition in additions]
    uris = set().union(*by_input)
    items = _newest_items(additions, uris) if uris else {}
    kept: dict[str, Failure] = {}
    for number, failures in enumerate(by_input):
        for uri, failure in failures.items():
            newest, mtime = items.get(uri, (None, 0.0))
            is_resolved = newest not in (None, number) and mtime >= failure.mtime
            if failure.stage in PARTIAL_STAGES:
                is_resolved = newest != number
            older = kept.get(uri)
            if not is_resolved and (older is None or failure.mtime >= older.mtime):
                kept[uri] = failure
    return list(kept.values())


def _newest_items(
    additions: Sequence[Addition], uris: set[str]
) -> dict[str, tuple[int | None, float]]:
    """Return position of the collection and modification time of the items with these uris."""
    wanted = pa.array(sorted(uris), pa.string())
    return {
        uri: (number, mtime or 0.0)
        for number, addition in enumerate(additions)
        for batch in _chosen(addition, ("item_id", "uri", "mtime"))
        for uri, mtime in zip(
            *(
                batch.filter(pc.is_in(batch.column("uri"), wanted)).column(name).to_pylist()
                for name in ("uri", "mtime")
            ),
            strict=True,
        )
    }


def _chosen(addition: Addition, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for batch in addition.snapshot.iter_columns(names):
        yield batch.filter(pa.array(isin_sorted(id_array(batch), addition.item_ids)))
