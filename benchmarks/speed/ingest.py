"""Measures how fast rows enter a collection, compared with pyarrow on the same rows.

Processor time of all threads is measured, so that waiting for the disk does not count.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.results.outcome import Result
from benchmarks.speed import SUITE
from benchmarks.speed.harness import Sample, Way, in_turns, row
from benchmarks.speed.memory import MIB, resident_bytes
from benchmarks.speed.vectors import VectorEncoder, clustered, item_of_vectors
from retrieval.exchange.exporting import export
from retrieval.exchange.importing import import_vectors
from retrieval.exchange.space_file import write_space
from retrieval.store.compact import compact
from retrieval.store.known_files import NAMES
from retrieval.store.reader import Snapshot
from retrieval.store.shards import write_rows
from retrieval.store.writer import CollectionWriter
from retrieval.targets import ExportLayout
from retrieval.types import KnownFile, Medium, Space

logger = logging.getLogger(__name__)

ROWS, DIM = 250_000, 512
FILES, FILE_DIM = 1_000_000, 8
BLOCK_ROWS = 4_096
SHARDS = 8
"""Number of shards before a compaction."""

TURNS = 3


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure imports, the writer, compaction, export and the lookup of known files."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = max(1_000, round(ROWS * scale))
    return [
        *_imports(folder, rows),
        *_writer(folder, rows),
        *_known_files(folder, max(1_000, round(FILES * scale))),
    ]


def _space(dim: int) -> Space:
    encoder = VectorEncoder(dim)
    return Space(f"vectors-{dim}", encoder.spec, dim, encoder.media, encoder.digest)


def processor_seconds(work: Callable[[], object]) -> float:
    """Measure the processor time of one call, in all threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


# ---------------------------------------------------------------- import


def _imports(folder: Path, rows: int) -> list[Result]:
    sources = {name: folder / name for name in ("Parquet", "npy")}
    logger.info("writing %d vectors", rows)
    _write_parquet(sources["Parquet"], rows)
    _write_npy(sources["npy"], rows, DIM)
    results = []
    for name, source in sources.items():
        logger.info("importing %d vectors of %s", rows, name)
        root = folder / f"from-{name}"
        import_vectors(source, root)
        samples = in_turns(_ways(source, root, folder / "copy"), TURNS)
        task = f"import {rows:,} × {DIM} of {name}"
        results += [
            row(task, "rows per processor second", samples["import"].per(rows)),
            row(
                task,
                "rate over that of pyarrow reading the source and writing the same rows",
                samples["copy"] / samples["import"],
                0.5,
            ),
            row(
                task,
                "rate over that of pyarrow writing the same rows from memory",
                samples["write"] / samples["import"],
            ),
        ]
    return results


def _ways(source: Path, root: Path, target: Path) -> dict[str, Way]:
    tables = _tables(root)

    def timed_import(turn: int) -> float:
        shutil.rmtree(root)
        return processor_seconds(lambda: import_vectors(source, root))

    return {
        "import": timed_import,
        "copy": lambda turn: processor_seconds(lambda: _copy(source, target, tables)),
        "write": lambda turn: processor_seconds(lambda: _write(target, tables)),
    }


def _copy(source: Path, target: Path, tables: dict[str, pa.Table]) -> None:
    """Read the source with pyarrow or NumPy, round its vectors, and write the rows."""
    if (source / "vectors.npy").exists():
        pq.read_table(source / "vectors.parquet")
        np.load(source / "vectors.npy").astype(np.float16)
    else:
        for batch in pq.ParquetFile(source / "vectors.parquet").iter_batches(BLOCK_ROWS):
            batch.column("embedding").flatten().to_numpy().astype(np.float16)
    _write(target, tables)


def _write(target: Path, tables: dict[str, pa.Table]) -> None:
    """Write tables with the options of shards and force them to disk."""
    target.mkdir(exist_ok=True)
    for number, table in enumerate(tables.values()):
        with (target / f"{number}.parquet").open("wb") as file:
            write_rows(file, table.schema, table.to_batches())
            os.fsync(file.fileno())


def _tables(root: Path) -> dict[str, pa.Table]:
    """Read the rows of all shards of a collection."""
    tables: dict[str, pa.Table] = {}
    for file in Snapshot.open(root).manifest.files:
        tables[file.path] = pq.read_table(root / file.path).replace_schema_metadata(None)
    return tables


def _descriptions(rows: int) -> pa.Table:
    numbers = range(rows)
    return pa.table(
        {
            "uri": [f"/archive/{number % 100:02}/{number:07}.jpg" for number in numbers],
            "caption": [f"entry {number} of the archive" for number in numbers],
            "width": [640 + number % 100 for number in numbers],
            "height": [480 + number % 100 for number in numbers],
            "year": [1990 + number % 30 for number in numbers],
            "place": [f"place {number % 500}" for number in numbers],
            "score": [number / rows for number in numbers],
            "bytes": [100_000 + number for number in numbers],
            "mtime": [1.7e9 + number for number in numbers],
            "sha256": [f"{number:064x}" for number in numbers],
        }
    )


def _blocks(rows: int, dim: int) -> Iterator[np.ndarray]:
    for first in range(0, rows, BLOCK_ROWS):
        yield clustered(min(BLOCK_ROWS, rows - first), dim, first)


def _write_parquet(folder: Path, rows: int) -> None:
    folder.mkdir(exist_ok=True)
    write_space(folder, _space(DIM))
    table, first = _descriptions(rows), 0
    field = pa.field("embedding", pa.list_(pa.float32(), DIM))
    with pq.ParquetWriter(folder / "vectors.parquet", table.schema.append(field)) as writer:
        for block in _blocks(rows, DIM):
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), DIM)
            part = table.slice(first, len(block)).append_column(field, vectors)
            writer.write_table(part)
            first += len(block)


def _write_npy(folder: Path, rows: int, dim: int) -> None:
    folder.mkdir(exist_ok=True)
    write_space(folder, _space(dim))
    pq.write_table(_descriptions(rows), folder / "vectors.parquet")
    vectors = np.lib.format.open_memmap(
        folder / "vectors.npy", "w+", dtype=np.float32, shape=(rows, dim)
    )
    for number, block in enumerate(_blocks(rows, dim)):
        vectors[number * BLOCK_ROWS :][: len(block)] = block
    vectors.flush()


# ---------------------------------------------------------------- writer, compact, export


def _writer(folder: Path, rows: int) -> list[Result]:
    logger.info("adding %d images one by one", rows)
    adding, publishing = [], []
    for turn in range(TURNS):
        root = folder / f"written-{turn}"
        added, published = _add_images(root, rows)
        adding.append(1e6 * added / rows)
        publishing.append(1e6 * published / rows)
    task = f"{rows:,} images of {DIM}-d vectors"
    results = [
        row(task, "µs of processor time of the writer per image", Sample(tuple(adding)), 20),
        row(task, "µs of processor time to publish an image", Sample(tuple(publishing))),
    ]
    logger.info("compacting and exporting %d images", rows)
    roots = [folder / f"written-{turn}" for turn in range(TURNS)]
    tables = _tables(roots[0])
    samples = in_turns(
        {
            "export": lambda turn: _export(roots[turn], folder / "exported"),
            "compact": lambda turn: processor_seconds(lambda: compact(roots[turn])),
            "write": lambda turn: processor_seconds(lambda: _write(folder / "copy", tables)),
        },
        TURNS,
    )
    for name in ("export", "compact"):
        results += [
            row(f"{name} {task}", "rows per processor second", samples[name].per(rows)),
            row(
                f"{name} {task}",
                "rate over that of pyarrow writing the same rows from memory",
                samples["write"] / samples[name],
            ),
        ]
    return results


def _add_images(root: Path, rows: int) -> tuple[float, float]:
    """Write a collection of images; return processor seconds of adding and of publishing."""
    space = _space(DIM)
    added = published = 0.0
    with CollectionWriter.open(root, create=True) as writer:
        writer.add_space(space)
        for first in range(0, rows, max(1, rows // SHARDS)):
            count = min(max(1, rows // SHARDS), rows - first)
            vectors = clustered(count, DIM, first)
            items = [
                item_of_vectors(first + number, Medium.IMAGE, space, vectors[number : number + 1])
                for number in range(count)
            ]
            start = time.process_time()
            for item in items:
                writer.add(item)
                writer.is_due()
            added += time.process_time() - start
            published += processor_seconds(writer.publish)
    return added, published


def _export(root: Path, out: Path) -> float:
    shutil.rmtree(out, ignore_errors=True)
    snapshot = Snapshot.open(root)
    return processor_seconds(lambda: export(snapshot, out, ExportLayout.PARQUET))


# ---------------------------------------------------------------- known files


def _known_files(folder: Path, files: int) -> list[Result]:
    logger.info("reading the state of %d files", files)
    _write_npy(folder / "files", files, FILE_DIM)
    root = folder / "from-files"
    import_vectors(folder / "files", root)
    columns, dictionary = (_in_process(root, form) for form in ("columns", "dict"))
    task = f"known files of {files:,} items, compared with a dict"
    return [
        Result(SUITE, task, metric, columns[key], baseline=dictionary[key])
        for key, metric in (("seconds", "processor seconds"), ("mib", "MiB"))
    ]


def _in_process(root: Path, form: str) -> dict[str, float]:
    """Run `hold` in a process of its own, because libraries keep freed memory."""
    code = f"from benchmarks.speed.ingest import hold; hold({str(root)!r}, {form!r})"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    report: dict[str, float] = json.loads(done.stdout)
    return report


def hold(root: str, form: str) -> None:
    """Print the processor time of reading the known files, and the memory that they need."""
    snapshot = Snapshot.open(Path(root))
    snapshot.known_files()  # loads libraries
    gc.collect()
    pa.default_memory_pool().release_unused()
    memory, start = resident_bytes(), time.process_time()
    known = snapshot.known_files() if form == "columns" else _as_dict(snapshot)
    seconds = time.process_time() - start
    gc.collect()
    pa.default_memory_pool().release_unused()
    report = {"seconds": seconds, "mib": (resident_bytes() - memory) / MIB}
    sys.stdout.write(json.dumps(report))
    assert len(known) == snapshot.manifest.next_item_id


def _as_dict(snapshot: Snapshot) -> dict[str, KnownFile]:
    known = {}
    for batch in snapshot.iter_columns(NAMES):
        columns = (column.to_pylist() for column in batch.columns)
        for item_id, uri, size, mtime, sha256 in zip(*columns, strict=True):
            known[uri] = KnownFile(item_id, size, mtime, sha256)
    return known
