"""Exports the vectors of a collection in the layouts of other tools.

An export has one row per segment, in item order. It is written to a hidden folder next to the
target, which is renamed when it is complete.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from retrieval.errors import CollectionError, IndexMissingError
from retrieval.exchange.space_file import write_space
from retrieval.files.writing import check_writable, storage_errors
from retrieval.media.names import container_of, uri_to_path
from retrieval.progress import Progress, no_progress
from retrieval.search.index_files import APPROXIMATE, CARD
from retrieval.search.indexing.card import IndexCard
from retrieval.store.blocks import SegmentBlock
from retrieval.store.reader import Snapshot
from retrieval.store.schema import MEDIUM_CODES
from retrieval.store.shards import write_rows
from retrieval.targets import ExportLayout
from retrieval.types import Space

PART_ROWS = 65_536
"""Minimum rows of a file, except the last, in layouts of several files."""

SEGMENT_FIELDS = (
    pa.field("medium", pa.string()),
    pa.field("start_seconds", pa.float32()),
    pa.field("end_seconds", pa.float32()),
)
ADDED_COLUMNS = frozenset({*(field.name for field in SEGMENT_FIELDS), "image_path", "embedding"})
"""Columns that an export adds; user columns of these names are left out."""

_MEDIA = pa.array([medium.value for medium in MEDIUM_CODES])


@dataclass(frozen=True, slots=True)
class ExportedBlock:
    """Consecutive segments: float16 vectors of shape (n, dim), and a row of columns for each."""

    vectors: NDArray[np.float16]
    rows: pa.Table


def export(
    snapshot: Snapshot,
    out: Path,
    layout: ExportLayout,
    *,
    spaces: Sequence[str] = (),
    approximate: bool = False,
    progress: Progress = no_progress,
) -> list[Path]:
    """Write the vectors of a collection and the columns of their items for other tools.

    Args:
        snapshot: The generation.
        out: A new or empty folder; several spaces get one folder each inside it.
        layout: The layout.
        spaces: Names of the spaces; empty: all that have vectors.
        approximate: For `faiss`: write the existing approximate index instead of a flat one.
        progress: Receives the number of rows written after every block.

    Returns:
        The folders written.
    Raises:
        StorageError: The folder is not empty, or the disk refuses.
        SpaceMismatchError: The collection has no such space.
        CollectionError: The spaces have no vectors.
        IndexMissingError: `approximate` is set, and a space has no current approximate index.
    """
    requested = [snapshot.space(name) for name in spaces] or list(snapshot.spaces)
    rows = {space.name: _count_rows(snapshot, space.name) for space in requested}
    chosen = [space for space in requested if rows[space.name]]
    if not chosen:
        raise CollectionError(f"{snapshot.root} holds no vectors to export; embed media first")
    indexes = {space.name: _approximate_index(snapshot, space) for space in chosen if approximate}
    done = 0

    def counted(blocks: Iterator[ExportedBlock]) -> Iterator[ExportedBlock]:
        nonlocal done
        for block in blocks:
            yield block
            done += len(block.vectors)
            progress("export", done, sum(rows.values()))

    partial = _prepare_partial_folder(out)
    try:
        with storage_errors(out):
            partial.mkdir()
            for space in chosen:
                folder = partial if len(chosen) == 1 else partial / space.name
                folder.mkdir(exist_ok=True)
                write_space(folder, space)
                blocks = counted(_blocks(snapshot, space.name, layout))
                if layout is ExportLayout.FAISS:
                    _write_faiss(folder, space, blocks, indexes.get(space.name))
                elif layout is ExportLayout.NPY:
                    _write_npy(folder, space, blocks, rows[space.name])
                elif layout is ExportLayout.PARQUET:
                    _write_parquet(folder, space, blocks)
                else:
                    _write_clip_retrieval(folder, space, blocks)
            os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [out if len(chosen) == 1 else out / space.name for space in chosen]


def _prepare_partial_folder(out: Path) -> Path:
    """Check the target and return the free path of a hidden folder next to it."""
    with storage_errors(out):
        is_empty_folder = out.is_dir() and not any(out.iterdir())
        if os.path.lexists(out) and not is_empty_folder:
            raise OSError(errno.EEXIST, "it exists already; name a new folder")
        parent = out.absolute().parent
        if not parent.is_dir():
            raise OSError(errno.ENOENT, "the parent folder does not exist")
        check_writable(parent)
        partial = parent / f".{out.name}.tmp"
        shutil.rmtree(partial, ignore_errors=True)
        return partial


# ---------------------------------------------------------------- rows


def _count_rows(snapshot: Snapshot, space: str) -> int:
    if len(snapshot.removed_ids()):
        return snapshot.count_segments(space)
    return sum(file.rows for file in snapshot.manifest.files_in(f"segments/{space}"))


def _blocks(snapshot: Snapshot, space: str, layout: ExportLayout) -> Iterator[ExportedBlock]:
    """Join segments with the columns of their items, in item order."""
    schema = snapshot.items_schema()
    names = [name for name in schema.names if name not in ADDED_COLUMNS]
    batches = snapshot.iter_items()
    items = schema.empty_table()
    for block in snapshot.iter_segments(space):
        while not items.num_rows or items.column("item_id")[-1].as_py() < block.item_ids[-1]:
            items = pa.concat_tables([items, pa.Table.from_batches([next(batches)])])
        positions = np.searchsorted(items.column("item_id").to_numpy(), block.item_ids)
        rows = items.select(names).take(pa.array(positions))
        items = items.slice(int(positions[0]))
        yield ExportedBlock(block.vectors, _with_segments(rows, block, layout))


def _with_segments(rows: pa.Table, block: SegmentBlock, layout: ExportLayout) -> pa.Table:
    if layout is ExportLayout.CLIP_RETRIEVAL:
        paths = [_path(uri) for uri in rows.column("uri").to_pylist()]
        rows = rows.append_column("image_path", pa.array(paths, pa.string()))
    arrays = (
        _MEDIA.take(pa.array(block.media)),
        pa.array(block.start_seconds, from_pandas=True),
        pa.array(block.end_seconds, from_pandas=True),
    )
    for field, array in zip(SEGMENT_FIELDS, arrays, strict=True):
        rows = rows.append_column(field, array)
    return rows.combine_chunks()


def _path(uri: str) -> str:
    """Convert a uri to a path; uris of tar members and of paths that are not UTF-8 stay."""
    path = uri if container_of(uri)[1] is not None else uri_to_path(uri)
    try:
        path.encode()
    except UnicodeEncodeError:
        return uri
    return path


# ---------------------------------------------------------------- layouts


def _write_parquet(folder: Path, space: Space, blocks: Iterator[ExportedBlock]) -> None:
    """Write vectors-00000.parquet and so on, with the vectors in the column `embedding`."""
    embedding = pa.field("embedding", pa.list_(pa.float16(), space.dim))
    for number, part in enumerate(_parts(blocks)):
        tables = [
            block.rows.append_column(
                embedding,
                pa.FixedSizeListArray.from_arrays(pa.array(block.vectors.reshape(-1)), space.dim),
            )
            for block in part
        ]
        with open(folder / f"vectors-{number:05d}.parquet", "wb") as file:
            batches = (batch for table in tables for batch in table.to_batches())
            write_rows(file, tables[0].schema, batches)


def _write_npy(folder: Path, space: Space, blocks: Iterator[ExportedBlock], rows: int) -> None:
    """Write vectors.npy, and metadata.parquet with a row for each vector."""
    with open(folder / "vectors.npy", "wb") as file:
        _write_header(file, rows, space.dim)
        _write_rows(folder / "metadata.parquet", blocks, file)


def _write_clip_retrieval(folder: Path, space: Space, blocks: Iterator[ExportedBlock]) -> None:
    """Write img_emb/img_emb_0.npy and metadata/metadata_0.parquet, and so on."""
    (folder / "img_emb").mkdir()
    (folder / "metadata").mkdir()
    for number, part in enumerate(_parts(blocks)):
        with open(folder / "img_emb" / f"img_emb_{number}.npy", "wb") as file:
            _write_header(file, sum(len(block.vectors) for block in part), space.dim)
            _write_rows(folder / "metadata" / f"metadata_{number}.parquet", iter(part), file)


def _write_faiss(
    folder: Path, space: Space, blocks: Iterator[ExportedBlock], approximate: Path | None
) -> None:
    """Write index.faiss, and ids.parquet with a row for each vector of the index."""
    from indexes.building import build_flat
    from indexes.saved import open_index, write_index

    if approximate is not None:
        write_index(open_index(approximate), folder / "index.faiss", plain=True)
        _write_rows(folder / "ids.parquet", blocks, None)
        return
    written = _written(folder / "ids.parquet", blocks)
    index = build_flat((block.vectors for block in written), space.dim)
    write_index(index, folder / "index.faiss")


def _approximate_index(snapshot: Snapshot, space: Space) -> Path:
    """Return the approximate index of a space, which must hold exactly the exported rows."""
    folders = snapshot.index_folders(space.name)
    cards = [IndexCard.read(folder / CARD) for folder in folders]
    if not cards or cards[0].factory is None:
        raise IndexMissingError(
            f"{space.name} has no approximate index; build one, or export a flat index"
        )
    # The rows of a part can include those of items removed later.
    if len(cards) > 1 or cards[0].rows != snapshot.count_segments(space.name):
        raise IndexMissingError(
            f"the index of {space.name} has several parts or outdated rows; build it again as "
            f"{cards[0].factory}, or export a flat index"
        )
    if cards[0].vectors != cards[0].rows:
        raise IndexMissingError(
            f"the index of {space.name} holds {cards[0].vectors:,} vectors of {cards[0].rows:,} "
            "rows, because equal vectors are stored once; export a flat index"
        )
    return folders[0] / APPROXIMATE


def _parts(blocks: Iterator[ExportedBlock]) -> Iterator[list[ExportedBlock]]:
    """Group blocks into files of at least `PART_ROWS` rows."""
    part: list[ExportedBlock] = []
    for block in blocks:
        part.append(block)
        if sum(len(each.vectors) for each in part) >= PART_ROWS:
            yield part
            part = []
    if part:
        yield part


def _write_header(file: BinaryIO, rows: int, dim: int) -> None:
    header = {"descr": "<f2", "fortran_order": False, "shape": (rows, dim)}
    np.lib.format.write_array_header_1_0(file, header)


def _write_rows(path: Path, blocks: Iterator[ExportedBlock], vectors: BinaryIO | None) -> None:
    """Write the rows of blocks as Parquet, and append their vectors to a .npy file."""
    for block in _written(path, blocks):
        if vectors is not None:
            vectors.write(np.ascontiguousarray(block.vectors, "<f2").data)


def _written(path: Path, blocks: Iterator[ExportedBlock]) -> Iterator[ExportedBlock]:
    """Yield blocks after their rows are written as Parquet."""
    writer: pq.ParquetWriter | None = None
    try:
        for block in blocks:
            if writer is None:
                writer = pq.ParquetWriter(path, block.rows.schema)
            writer.write_table(block.rows)
            yield block
    finally:
        if writer is not None:
            writer.close()
