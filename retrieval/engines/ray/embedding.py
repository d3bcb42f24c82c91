"""`embed` on a cluster: workers embed units, and the coordinator appends their collections.

Only the coordinator assigns ids and publishes. It appends units in their order, so that the result
is that of one machine, whichever worker was first.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import retrieval
from retrieval.embedding.options import EmbedOptions, EmbedReport, open_spaces
from retrieval.embedding.reading import WordReader
from retrieval.embedding.reconciling import Reconciler
from retrieval.embedding.run import source_lister
from retrieval.embedding.unit_run import UnitResult, complete_spaces
from retrieval.embedding.units import GroupLimits, ListSources, Unit, groups_of_similar_work
from retrieval.engines.ray.connection import connected
from retrieval.engines.ray.parts import collection_roots, listed_part, total_report
from retrieval.engines.ray.pool import Lost, Task, WorkerPool, pool_size
from retrieval.engines.ray.staging import Appended, Staging, append_unit
from retrieval.engines.ray.worker import Job, worker_options
from retrieval.failure_stages import PARTIAL_STAGES
from retrieval.files.reading import status_of
from retrieval.media.sources.listing import LiteralPaths
from retrieval.media.workers.pool import KnownFiles
from retrieval.progress import Progress, no_progress
from retrieval.store.current import read_current
from retrieval.store.interrupts import publish_on_interrupt
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.store.writer_progress import PublishedProgress
from retrieval.types import Failure, KnownFile, Source, Space

logger = logging.getLogger(__name__)

MAX_KILLS = 3
"""Number of workers that a unit may end before its files count as failures."""

MAX_DECODERS = 32
"""Decoding processes of one worker, at most."""


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Where a run takes place.

    Attributes:
        address: `auto`, `HOST:PORT` or `ray://HOST:PORT`.
        workers: Number of workers; by default one for each GPU, or else one for each node.
        gpus_per_worker: GPUs of each, perhaps a fraction; by default 1 if the cluster has GPUs.
        collections: Number of collections to write; see `embed_on`.
        limits: Sizes of the units.
    """

    address: str = "auto"
    workers: int | None = None
    gpus_per_worker: float | None = None
    collections: int | None = None
    limits: GroupLimits = field(default_factory=GroupLimits)


def embed_on(
    sources: Sequence[str | os.PathLike[str] | LiteralPaths],
    root: Path,
    options: EmbedOptions,
    cluster: ClusterOptions,
    progress: Progress = no_progress,
    *,
    total: int | None = None,
) -> EmbedReport:
    """Embed files on a cluster; the result is that of `embed`.

    Workers, nodes and the coordinator may end at any time. A further run continues with what was
    embedded. All machines see sources and collection at the same paths.

    With `cluster.collections`, N collections `ROOT-00`, `ROOT-01` and so on are written instead of
    one. The uri of a file, or of its archive, decides to which of them it belongs.

    Args:
        sources: Folders, files, patterns, lists, archives; or `LiteralPaths`.
        root: Folder of the collection; created if it does not exist.
        options: Models, sampling and reading options.
        cluster: The cluster.
        progress: Updated about once a second.
        total: Number of files that the sources contain, if it is known; part of the progress.

    Raises:
        ClusterError: There is no cluster, or a node cannot work.
        RetrievalError: As `embed`.
    """
    start = time.monotonic()
    roots = collection_roots(root, cluster.collections)
    list_sources = source_lister(sources, options)
    reports = []
    with ExitStack() as stack:
        writers = [_open(each, stack) for each in roots]
        ray = stack.enter_context(connected(cluster.address))
        staging = [Staging(each) for each in roots]
        for folder in staging:
            stack.callback(folder.close)
        size = pool_size(ray, cluster.workers, cluster.gpus_per_worker)
        spaces = next((each.snapshot.spaces for each in writers if each.snapshot), ())
        job = Job(
            worker_options(options, min(MAX_DECODERS, size.cpus)),
            spaces,
            staging[0].token_file,
            staging[0].token,
            retrieval.__version__,
        )
        pool = stack.enter_context(WorkerPool(ray, size, job))
        progress("starting workers", 0, None)
        pool.start()
        for number, (writer, folder) in enumerate(zip(writers, staging, strict=True)):
            report = EmbedReport()
            reports.append(report)
            part = listed_part(list_sources, number, len(roots))
            show = _progress_after(sum(each.seen for each in reports), progress)
            with PublishedProgress(writer.root, show, report.counts, total) as published:
                append_leftovers(writer, folder)
                _complete(writer, part, options, pool.spaces, report)
                run = ClusterRun(writer, folder, options, pool, report, published)
                run.embed(part, cluster.limits)
            report.notices += writer.notices.lines()
    result = total_report(reports)
    result.seconds = time.monotonic() - start
    return result


def _open(root: Path, stack: ExitStack) -> CollectionWriter:
    writer = stack.enter_context(CollectionWriter.open(root, create=True))
    stack.enter_context(publish_on_interrupt(writer))
    return writer


def _progress_after(done_before: int, progress: Progress) -> Progress:
    """Return a progress that counts on from the items of other collections."""

    def show(task: str, done: float, total: float | None, note: str = "") -> None:
        progress(task, done + done_before if task == "embedding" else done, total, note)

    return show


def append_leftovers(writer: CollectionWriter, staging: Staging) -> None:
    """Append what an interrupted run embedded, unless the collection has newer versions."""
    for folder in staging.leftovers():
        known = writer.snapshot.known_files() if writer.snapshot else {}
        appended = append_unit(writer, folder, known, replaces=_is_newer)
        logger.info("%d items of an interrupted run added", sum(appended.added.values()))
        staging.delete(folder)


def _is_newer(staged: KnownFile, known: KnownFile) -> bool:
    return staged.mtime > known.mtime


def _complete(
    writer: CollectionWriter,
    list_sources: ListSources,
    options: EmbedOptions,
    spaces: tuple[Space, ...],
    report: EmbedReport,
) -> None:
    """Compute rows that spaces lack of existing items, on this machine."""
    snapshot = writer.snapshot
    if snapshot is None or snapshot.manifest.next_item_id == 0:
        return
    existing = {space.name for space in snapshot.spaces}
    last = snapshot.manifest.next_item_id - 1
    if all(
        space.name in existing and snapshot.last_embedded_id(space.name) == last for space in spaces
    ):
        return
    logger.info("a space lacks rows of existing items; they are computed on this machine")
    opened = open_spaces(snapshot, options)
    report.completed += complete_spaces(list_sources, writer, opened, options)


class ClusterRun:
    """Embeds the sources of one collection."""

    def __init__(
        self,
        writer: CollectionWriter,
        staging: Staging,
        options: EmbedOptions,
        pool: WorkerPool,
        report: EmbedReport,
        progress: Progress,
    ) -> None:
        self._writer = writer
        self._staging = staging
        self._options = options
        self._pool = pool
        self._report = report
        self._progress = progress
        self._reconciler = Reconciler(writer, options, report, progress)
        self._groups: Iterator[tuple[Source, ...]] = iter(())
        self._retries: deque[Task] = deque()
        self._order: deque[Task] = deque()  # all tasks that are not appended yet
        self._results: dict[Task, UnitResult | list[Failure]] = {}

    def embed(self, list_sources: ListSources, limits: GroupLimits | None = None) -> None:
        """Embed new and changed files, and store what changed of the others."""
        reconciler = self._reconciler
        self._groups = groups_of_similar_work(
            reconciler.select(list_sources(reconciler.listing)),
            workers=self._pool.size.workers,
            limits=limits,
        )
        for task, outcome in self._pool.run(self._next_task, self._show_progress):
            if isinstance(outcome, Lost):
                self._retry(task, outcome)
            else:
                self._results[task] = outcome
            self._append_finished()
        reconciler.finish()
        self._writer.publish()
        reader = WordReader(self._writer, self._options, self._report, self._progress)
        reader.read(reconciler.seen)

    def _next_task(self) -> Task | None:
        if self._retries:
            return self._retries.popleft()
        sources = next(self._groups, None)
        if sources is None:
            return None
        task = self._task(sources)
        self._order.append(task)
        return task

    def _task(self, sources: Sequence[Source], kills: int = 0) -> Task:
        known = KnownFiles(self._reconciler.known.files)
        snapshot = self._writer.snapshot
        unit = Unit(
            tuple(sources),
            {uri: file for source in sources for uri, file in known.of(source).items()},
            tuple(self._reconciler.listing.bases),
            snapshot.spaces if snapshot and snapshot.spaces else self._pool.spaces,
            self._writer.column_types(),
        )
        return Task(unit, self._staging.new_folder(), kills)

    def _show_progress(self, in_units: int) -> None:
        failed = f"{self._report.failed} failed" if self._report.failed else ""
        waiting = sum(
            len(task.unit.sources)
            for task, result in self._results.items()
            if isinstance(result, UnitResult)
        )
        self._progress("embedding", self._report.seen + waiting + in_units, None, failed)

    # ------------------------------------------------------------ lost workers

    def _retry(self, task: Task, lost: Lost) -> None:
        """Try a unit again; a unit that ends workers is halved until one file is left."""
        sources = task.unit.sources
        if not lost.node_died:
            task.kills += 1
        logger.warning("a worker ended (%s); its %d files are embedded again",
                       lost.reason, len(sources))  # fmt: skip
        if task.kills < MAX_KILLS:
            self._retries.append(task)
        elif len(sources) == 1:
            self._results[task] = [_failure(sources[0])]
        else:
            self._halve(task)

    def _halve(self, task: Task) -> None:
        """Append what a unit embedded before it ended its workers, and divide the others."""
        embedded = set(self._append_staged(task).uris)
        rest = [source for source in task.unit.sources if source.uri not in embedded]
        middle = len(rest) // 2
        # One more loss divides a half again; a single file has as many attempts as a unit.
        halves = [
            self._task(half, MAX_KILLS - 1 if len(half) > 1 else 0)
            for half in (rest[:middle], rest[middle:])
            if half
        ]
        place = self._order.index(task)
        del self._order[place]
        for half in reversed(halves):
            self._order.insert(place, half)
        self._retries.extend(halves)

    # ------------------------------------------------------------ results

    def _append_finished(self) -> None:
        """Append the finished units that no unfinished unit precedes."""
        while self._order and self._order[0] in self._results:
            task = self._order.popleft()
            result = self._results.pop(task)
            if isinstance(result, UnitResult):
                self._count(result.report)
                for file in result.unchanged:
                    if file.info is not None:
                        self._reconciler.keep(file.info, file.texts_read)
            else:
                for failure in result:
                    self._reconciler.record_failure(failure)
            self._append_staged(task)

    def _count(self, unit: EmbedReport) -> None:
        """Add what only the worker knows; the collection of the unit shows the rest."""
        report = self._report
        report.notices += unit.notices
        report.without_encoder += unit.without_encoder
        report.without_segments += unit.without_segments
        report.unread += unit.unread
        for source, count in unit.read.items():
            report.read[source] += count

    def _append_staged(self, task: Task) -> Appended:
        """Append the collection of a unit, record its failures, and delete it."""
        known = self._reconciler.known.files
        appended = append_unit(self._writer, task.folder, known, replaces=_always)
        known.update(appended.files)
        for uri in appended.uris:
            self._reconciler.mark_seen(uri)
        for medium, count in appended.added.items():
            self._report.added[medium] += count
        self._report.replaced += appended.replaced
        if read_current(task.folder) is not None:
            for failure in Snapshot.open(task.folder).failures().values():
                if failure.stage in PARTIAL_STAGES:
                    self._writer.add_failure(failure)
                else:
                    self._reconciler.record_failure(failure)
        self._writer.publish()
        self._staging.delete(task.folder)
        return appended


def _always(staged: KnownFile, known: KnownFile) -> bool:
    del staged, known
    return True


def _failure(source: Source) -> Failure:
    try:
        status = status_of(source.path)
        state = (status.st_size, status.st_mtime)
    except OSError:
        state = (0, 0.0)
    return Failure(
        source.uri,
        "worker",
        f"{MAX_KILLS} workers of the cluster ended while they embedded it; check or convert the "
        "file",
        *state,
    )
