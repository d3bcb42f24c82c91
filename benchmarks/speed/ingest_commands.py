"""Measures commands on a collection of a million items, each in a process of its own."""

from __future__ import annotations

import gc
import json
import logging
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from benchmarks.results.outcome import Result
from benchmarks.speed import SUITE
from benchmarks.speed.ingest_sources import write_npy
from benchmarks.speed.memory import MIB, POLL_SECONDS, resident_bytes
from retrieval.duplicates.same_files import alias_ids
from retrieval.exchange.exporting import export
from retrieval.exchange.importing import import_vectors
from retrieval.store.compact import compact
from retrieval.store.known_files import NAMES, KnownFiles
from retrieval.store.merge import merge
from retrieval.store.reader import Snapshot
from retrieval.targets import ExportLayout
from retrieval.types import KnownFile

logger = logging.getLogger(__name__)

ITEMS, DIM = 1_000_000, 64


def of_a_million(folder: Path, scale: float) -> list[Result]:
    """Measure the import of a million items of small vectors, and commands on them."""
    items = max(1_000, round(ITEMS * scale))
    logger.info("writing %d vectors", items)
    write_npy(folder / "million-source", items, DIM)
    root = folder / "million"
    results = []
    for name in COMMANDS:
        logger.info("%s of %d items", name, items)
        report = _in_process(name, root)
        task = f"{name}, {items:,} items of {DIM}-d vectors"
        results += [
            Result(SUITE, task, "processor seconds", report["seconds"]),
            Result(SUITE, task, "peak MiB above the start", report["peak"]),
        ]
    columns, dictionary = (_in_process(name, root) for name in KNOWN)
    task = f"known files of {items:,} items, compared with a dict"
    return results + [
        Result(SUITE, task, metric, columns[key], baseline=dictionary[key])
        for key, metric in (("seconds", "processor seconds"), ("kept", "MiB"))
    ]


def _in_process(name: str, root: Path) -> dict[str, float]:
    """Run `measure` in a process of its own, because libraries keep freed memory."""
    code = f"from benchmarks.speed.ingest_commands import measure; measure({name!r}, {str(root)!r})"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    report: dict[str, float] = json.loads(done.stdout)
    return report


def measure(name: str, root: str) -> None:
    """Print the processor time of a command, and the memory that it needs and keeps."""
    path = Path(root)
    prepare, work = (COMMANDS | KNOWN)[name]
    prepared = prepare(path)
    memory = peak = _memory()
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(POLL_SECONDS):
            peak = max(peak, resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.process_time()
    try:
        result = work(path, prepared)
        seconds = time.process_time() - start
    finally:
        ended.set()
        watcher.join()
    peak, kept = max(peak, resident_bytes()), _memory()
    del result
    report = {"seconds": seconds, "peak": (peak - memory) / MIB, "kept": (kept - memory) / MIB}
    sys.stdout.write(json.dumps(report))


def _memory() -> int:
    gc.collect()
    pa.default_memory_pool().release_unused()
    return resident_bytes()


# ---------------------------------------------------------------- commands

Prepare = Callable[[Path], object]
Work = Callable[[Path, object], object]


def _target(root: Path) -> Path:
    """Return a free path beside a collection."""
    target = root.with_name("target")
    shutil.rmtree(target, ignore_errors=True)
    return target


def _copy_of(root: Path) -> Path:
    return Path(shutil.copytree(root, _target(root)))


def _emptied(root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)


def _export(layout: ExportLayout) -> Work:
    return lambda root, target: export(Snapshot.open(root), Path(str(target)), layout)


def _as_dict(snapshot: Snapshot) -> dict[str, KnownFile]:
    known = {}
    for batch in snapshot.iter_columns(NAMES):
        columns = (column.to_pylist() for column in batch.columns)
        for item_id, uri, size, mtime, sha256 in zip(*columns, strict=True):
            known[uri] = KnownFile(item_id, size, mtime, sha256)
    return known


def _warm(root: Path) -> Snapshot:
    snapshot = Snapshot.open(root)
    snapshot.known_files()  # loads libraries
    return snapshot


def _known(form: Callable[[Snapshot], KnownFiles | dict[str, KnownFile]]) -> Work:
    def work(root: Path, snapshot: object) -> object:
        assert isinstance(snapshot, Snapshot)
        known = form(snapshot)
        assert len(known) == snapshot.manifest.next_item_id
        return known

    return work


COMMANDS: dict[str, tuple[Prepare, Work]] = {
    "import": (_emptied, lambda root, _: import_vectors(root.with_name("million-source"), root)),
    "import again": (
        lambda root: None,
        lambda root, _: import_vectors(root.with_name("million-source"), root),
    ),
    "compact": (_copy_of, lambda root, copy: compact(Path(str(copy)))),
    "merge": (_target, lambda root, target: merge([root], Path(str(target)))),
    "dups, finding paths of one file": (
        lambda root: None,
        lambda root, _: alias_ids([(0, Snapshot.open(root))]),
    ),
    **{
        f"export --to {layout.value}": (_target, _export(layout))
        for layout in (ExportLayout.PARQUET, ExportLayout.NPY, ExportLayout.FAISS)
    },
}
"""Commands by name: what is not measured, and what is, with its result."""

KNOWN: dict[str, tuple[Prepare, Work]] = {
    "columns": (_warm, _known(lambda snapshot: snapshot.known_files())),
    "dict": (_warm, _known(_as_dict)),
}
"""Forms of the known files."""
