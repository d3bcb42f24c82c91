"""`export`: the vectors of a collection in the layouts of other tools.

One row for each segment, in item order. Everything is written into a hidden folder beside the
target, which takes its name when it is whole.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from retrieval.errors import CollectionError, IndexMissingError
from retrieval.exchange.card import write_card
from retrieval.files.writing import check_writable, storage_errors
from retrieval.media.names import container_of, uri_to_path
from retrieval.search.indexing.card import IndexCard
from retrieval.search.indexing.part import APPROXIMATE, CARD
from retrieval.store.blocks import SegmentBlock
from retrieval.store.reader import Snapshot
from retrieval.store.schema import MEDIUM_CODES
from retrieval.store.shards import write_rows
from retrieval.targets import ExportLayout
from retrieval.types import Space

PART_ROWS = 65_536
"""Rows of one file where a layout has several."""

SEGMENT_FIELDS = (
    pa.field("medium", pa.string()),
    pa.field("start_seconds", pa.float32()),
    pa.field("end_seconds", pa.float32()),
)
ADDED_COLUMNS = frozenset({*(field.name for field in SEGMENT_FIELDS), "image_path", "embedding"})
"""A user's column of one of these names would be taken for the segment's: it is left out."""

_MEDIA = pa.array([medium.value for medium in MEDIUM_CODES])

Progress = Callable[[int, int], None]
"""Told how many rows are written, and of how many."""


@dataclass(frozen=True, slots=True)
class ExportedBlock:
    """Some segments: float16 vectors (n, dim), and a row of everything known for each."""

    vectors: NDArray[np.float16]
    rows: pa.Table


def export(
    snapshot: Snapshot,
    out: Path,
    layout: ExportLayout,
    *,
    spaces: Sequence[str] = (),
    approximate: bool = False,
    progress: Progress = lambda done, total: None,
) -> list[Path]:
    """Write the vectors of a collection, and what is known of their items, for other tools.

    Args:
        snapshot: The generation.
        out: A new or empty folder; with several spaces it holds one folder for each.
        layout: What to write.
        spaces: Which; empty: all that hold something.
        approximate: For `faiss`: the approximate index that the collection has, instead of a flat
            one.
        progress: Called after every block.

    Returns:
        The folders written.
    Raises:
        StorageError: The folder holds something, or the disk refuses.
        SpaceMismatchError: The collection has no such space.
        CollectionError: It has no vectors.
        IndexMissingError: `approximate`, and there is no current approximate index.
    """
    named = [snapshot.space(name) for name in spaces] or list(snapshot.spaces)
    totals = {space.name: _count(snapshot, space.name) for space in named}
    chosen = [space for space in named if totals[space.name]]
    if not chosen:
        raise CollectionError(f"{snapshot.root} holds no vectors there; embed something first")
    indexes = {space.name: _index_file(snapshot, space) for space in chosen if approximate}
    done = 0
    partial = _partial_folder(out)
    try:
        with storage_errors(out):
            partial.mkdir()
            for space in chosen:
                folder = partial if len(chosen) == 1 else partial / space.name
                folder.mkdir(exist_ok=True)
                write_card(folder, space)
                counted = _told(_blocks(snapshot, space.name, layout), done, totals, progress)
                rows = totals[space.name]
                if layout is ExportLayout.FAISS:
                    _write_faiss(folder, space, counted, indexes.get(space.name))
                elif layout is ExportLayout.NPY:
                    _write_npy(folder, space, counted, rows)
                elif layout is ExportLayout.PARQUET:
                    _write_parquet(folder, space, counted)
                else:
                    _write_clip_retrieval(folder, space, counted, rows)
                done += rows
            os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [out if len(chosen) == 1 else out / space.name for space in chosen]


def _partial_folder(out: Path) -> Path:
    """A name beside the target, which must be free; refused before any work."""
    with storage_errors(out):
        if out.is_dir() and not any(out.iterdir()):
            pass
        elif os.path.lexists(out):
            raise OSError(errno.EEXIST, "there is something already; name a new folder")
        above = out.absolute().parent
        if not above.is_dir():
            raise OSError(errno.ENOENT, "the folder above does not exist")
        check_writable(above)
        partial = above / f".{out.name}.tmp"
        shutil.rmtree(partial, ignore_errors=True)
        return partial


# ---------------------------------------------------------------- rows


def _count(snapshot: Snapshot, space: str) -> int:
    if not len(snapshot.removed_ids()):
        return sum(file.rows for file in snapshot.manifest.listed(f"segments/{space}"))
    return sum(len(block.item_ids) for block in snapshot.iter_segments(space))


def _told(
    blocks: Iterator[ExportedBlock], done: int, totals: dict[str, int], progress: Progress
) -> Iterator[ExportedBlock]:
    for block in blocks:
        yield block
        done += len(block.vectors)
        progress(done, sum(totals.values()))


def _blocks(snapshot: Snapshot, space: str, layout: ExportLayout) -> Iterator[ExportedBlock]:
    """Segments with the columns of their items, in item order."""
    schema = snapshot.items_schema()
    names = [name for name in schema.names if name not in ADDED_COLUMNS]
    batches = snapshot.iter_items()
    held = schema.empty_table()
    for block in snapshot.iter_segments(space):
        while not held.num_rows or held.column("item_id")[-1].as_py() < block.item_ids[-1]:
            held = pa.concat_tables([held, pa.Table.from_batches([next(batches)])])
        places = np.searchsorted(held.column("item_id").to_numpy(), block.item_ids)
        rows = held.select(names).take(pa.array(places))
        held = held.slice(int(places[0]))
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
    """A uri as the path that other tools open; tar members and odd bytes stay as they are."""
    path = uri if container_of(uri)[1] is not None else uri_to_path(uri)
    try:
        path.encode()
    except UnicodeEncodeError:
        return uri
    return path


# ---------------------------------------------------------------- layouts


def _write_parquet(folder: Path, space: Space, blocks: Iterator[ExportedBlock]) -> None:
    """vectors-00000.parquet and so on, with the vectors in the column `embedding`."""
    for number, part in enumerate(_parts(blocks)):
        tables = [
            block.rows.append_column(
                pa.field("embedding", pa.list_(pa.float16(), space.dim)),
                pa.FixedSizeListArray.from_arrays(pa.array(block.vectors.reshape(-1)), space.dim),
            )
            for block in part
        ]
        with open(folder / f"vectors-{number:05d}.parquet", "wb") as file:
            batches = (batch for table in tables for batch in table.to_batches())
            write_rows(file, tables[0].schema, batches)


def _write_npy(folder: Path, space: Space, blocks: Iterator[ExportedBlock], rows: int) -> None:
    """vectors.npy, and metadata.parquet with a row for each vector."""
    with open(folder / "vectors.npy", "wb") as file:
        _write_header(file, rows, space.dim)
        _write_metadata(folder / "metadata.parquet", blocks, file)


def _write_clip_retrieval(
    folder: Path, space: Space, blocks: Iterator[ExportedBlock], rows: int
) -> None:
    """img_emb/img_emb_0.npy and metadata/metadata_0.parquet, and so on."""
    (folder / "img_emb").mkdir()
    (folder / "metadata").mkdir()
    for number, part in enumerate(_parts(blocks)):
        with open(folder / "img_emb" / f"img_emb_{number}.npy", "wb") as file:
            _write_header(file, sum(len(block.vectors) for block in part), space.dim)
            _write_metadata(folder / "metadata" / f"metadata_{number}.parquet", iter(part), file)


def _write_faiss(
    folder: Path, space: Space, blocks: Iterator[ExportedBlock], index: Path | None
) -> None:
    """index.faiss, and ids.parquet: what each of its rows is."""
    from indexes.building import build_flat
    from indexes.saved import open_index, write_index

    if index is not None:
        write_index(open_index(index), folder / "index.faiss", plain=True)
        _write_metadata(folder / "ids.parquet", blocks, None)
        return
    rows: list[pa.Table] = []

    def vectors() -> Iterator[NDArray[np.float16]]:
        for block in blocks:
            rows.append(block.rows)
            yield block.vectors

    write_index(build_flat(vectors(), space.dim), folder / "index.faiss")
    pq.write_table(pa.concat_tables(rows), folder / "ids.parquet")


def _index_file(snapshot: Snapshot, space: Space) -> Path:
    """The approximate part of a space's index, which must hold just the living rows."""
    folders = snapshot.index_folders(space.name)
    cards = [IndexCard.read(folder / CARD) for folder in folders]
    if not cards or cards[0].factory is None:
        raise IndexMissingError(
            f"{space.name} has no approximate index; leave --approximate out, or build one: "
            "retrieval index --kind IVF1024,SQ8"
        )
    # Rows of a part are living ones and perhaps some that were removed since.
    if len(cards) > 1 or cards[0].rows != snapshot.count_segments(space.name):
        raise IndexMissingError(
            f"the index of {space.name} is not one part of just its rows; leave --approximate out, "
            f"or build it anew: retrieval index --kind {cards[0].factory}"
        )
    if cards[0].vectors != cards[0].rows:
        raise IndexMissingError(
            f"the index of {space.name} holds {cards[0].vectors:,} vectors of {cards[0].rows:,} "
            "rows, equal ones once; leave --approximate out"
        )
    return folders[0] / APPROXIMATE


def _parts(blocks: Iterator[ExportedBlock]) -> Iterator[list[ExportedBlock]]:
    """Blocks gathered to files of about `PART_ROWS`."""
    part: list[ExportedBlock] = []
    for block in blocks:
        part.append(block)
        if sum(len(each.vectors) for each in part) >= PART_ROWS:
            yield part
            part = []
    if part:
        yield part


def _write_header(file: BinaryIO, rows: int, dim: int) -> None:
    described = {"descr": "<f2", "fortran_order": False, "shape": (rows, dim)}
    np.lib.format.write_array_header_1_0(file, described)


def _write_metadata(path: Path, blocks: Iterator[ExportedBlock], vectors: BinaryIO | None) -> None:
    """Write the rows of blocks as Parquet, and their vectors behind a header of .npy."""
    writer: pq.ParquetWriter | None = None
    try:
        for block in blocks:
            if writer is None:
                writer = pq.ParquetWriter(path, block.rows.schema)
            writer.write_table(block.rows)
            if vectors is not None:
                vectors.write(np.ascontiguousarray(block.vectors, "<f2").tobytes())
    finally:
        if writer is not None:
            writer.close()
