"""Measures how fast rows enter a collection, compared with pyarrow on the same rows.

Processor time of all threads is measured, so that waiting for the disk does not count.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from benchmarks.results.outcome import Result
from benchmarks.speed.harness import Sample, Way, in_turns, row
from benchmarks.speed.ingest_commands import of_a_million
from benchmarks.speed.ingest_sources import (
    BLOCK_ROWS,
    space_of,
    write_csv,
    write_npy,
    write_parquet,
)
from benchmarks.speed.vectors import clustered, item_of_vectors
from retrieval.exchange.exporting import export
from retrieval.exchange.importing import import_vectors
from retrieval.store.compact import compact
from retrieval.store.reader import Snapshot
from retrieval.store.shards import write_rows
from retrieval.store.writer import CollectionWriter
from retrieval.targets import ExportLayout
from retrieval.types import Medium

logger = logging.getLogger(__name__)

ROWS, DIM = 250_000, 512
SOURCES = {"Parquet": write_parquet, "npy": write_npy, "npy with CSV": write_csv}
SHARDS = 8
"""Number of shards before a compaction."""

TURNS = 3


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure imports, the writer, and commands on a million items."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = max(1_000, round(ROWS * scale))
    return [*_imports(folder, rows), *_writer(folder, rows), *of_a_million(folder, scale)]


def processor_seconds(work: Callable[[], object]) -> float:
    """Measure the processor time of one call, in all threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


# ---------------------------------------------------------------- import


def _imports(folder: Path, rows: int) -> list[Result]:
    results = []
    for name, write in SOURCES.items():
        source = folder / name
        logger.info("writing %d vectors", rows)
        write(source, rows, DIM)
        logger.info("importing %d vectors of %s", rows, name)
        root = folder / f"from-{name}"
        import_vectors(source, root)
        samples = in_turns(_ways(source, root, folder / "copy"), TURNS)
        task = f"import {rows:,} × {DIM} of {name}"
        results += [
            row(task, "rows per processor second", samples["import"].per(rows)),
            row(
                task,
                "time ÷ that of pyarrow reading the source and writing the same rows",
                samples["import"] / samples["copy"],
            ),
            row(
                task,
                "time ÷ that of pyarrow writing the same rows from memory",
                samples["import"] / samples["write"],
                2.0,
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
        if (source / "vectors.csv").exists():
            csv.read_csv(source / "vectors.csv")
        else:
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
                "time ÷ that of pyarrow writing the same rows from memory",
                samples[name] / samples["write"],
            ),
        ]
    return results


def _add_images(root: Path, rows: int) -> tuple[float, float]:
    """Write a collection of images; return processor seconds of adding and of publishing."""
    space = space_of(DIM)
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
