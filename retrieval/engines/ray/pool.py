"""The workers of a run: starts them, gives them units, and replaces those that die."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.embedding.unit_run import UnitResult
from retrieval.embedding.units import Unit
from retrieval.engines.ray.nodes import live_nodes
from retrieval.engines.ray.problems import Problem, error_of
from retrieval.engines.ray.worker import Job, Ready, UnitWorker
from retrieval.errors import ClusterError
from retrieval.types import Space

logger = logging.getLogger(__name__)

ACTOR_CPUS = 0.5
"""Share of a processor that a worker reserves. Workers that reserve all of them would leave none
for Ray's own work."""

START_SECONDS = 600.0
"""Time until the first worker must be ready."""

MAX_FAILED_STARTS = 5
"""Number of workers in a row that may end before they are ready."""

WAIT_SECONDS = 1.0
"""Time between two looks at the workers."""


@dataclass(slots=True, eq=False)
class Task:
    """A unit and where it is embedded.

    Attributes:
        folder: A folder on the shared file system.
        kills: Number of workers that ended while they embedded it.
    """

    unit: Unit
    folder: Path
    kills: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker that ended.

    Attributes:
        reason: The first line of Ray's message.
        node_died: Whether its node ended, too, so that the unit is not to blame.
    """

    reason: str
    node_died: bool


Outcome = tuple[Task, UnitResult | Lost]


@dataclass(slots=True, eq=False)
class _Worker:
    """One actor; `future` is its current call."""

    actor: Any
    future: Any
    ready: Ready | None = None
    task: Task | None = None


@dataclass(frozen=True, slots=True)
class PoolSize:
    """Number and size of the workers.

    Attributes:
        workers: Number of actors.
        gpus: GPUs of each; a fraction shares one.
        cpus: Processors of the cluster for each: threads of its models, and decoding processes.
    """

    workers: int
    gpus: float
    cpus: int


def pool_size(ray: Any, workers: int | None, gpus_per_worker: float | None) -> PoolSize:
    """Choose the workers: one for each GPU, or else one for each node.

    Raises:
        ClusterError: The cluster has no live node.
    """
    nodes = live_nodes(ray)
    resources = [node["Resources"] for node in nodes]
    gpus = sum(each.get("GPU", 0.0) for each in resources)
    share = gpus_per_worker if gpus_per_worker is not None else float(gpus > 0)
    if workers is None:
        workers = int(gpus / share) if share and gpus else len(nodes)
    processors = sum(each.get("CPU", 0.0) for each in resources)
    workers = max(1, workers)
    return PoolSize(workers, share, max(1, int(processors / workers)))


class WorkerPool:
    """A context manager of the workers of a run; its end kills them.

    Attributes:
        size: Number and size of the workers.
        spaces: The spaces that all workers embed into; known after `start`.
    """

    def __init__(self, ray: Any, size: PoolSize, job: Job) -> None:
        self._ray = ray
        self.size = size
        self._job = job
        self.spaces: tuple[Space, ...] = ()
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        self._class = ray.remote(
            num_cpus=ACTOR_CPUS,
            num_gpus=size.gpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=2,  # `seen` answers while `embed` runs
            scheduling_strategy="SPREAD",
        )(UnitWorker)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            self._kill(worker)

    def start(self) -> None:
        """Start the workers and wait until one of them is ready.

        Raises:
            ClusterError: No worker starts, or a node lacks the file system or the release.
            RetrievalError: A node cannot load the encoders.
        """
        self._workers = [self._new_worker() for _ in range(self.size.workers)]
        deadline = time.monotonic() + START_SECONDS
        while not self.spaces:
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"no worker started within {START_SECONDS:g} seconds; `ray status` shows "
                    f"whether a node has {ACTOR_CPUS:g} processors and {self.size.gpus:g} GPUs left"
                )
            for worker in self._finished_calls(WAIT_SECONDS):
                outcome = self._result(worker)
                if isinstance(outcome, Lost):
                    self._count_failed_start(outcome)

    def run(
        self, next_task: Callable[[], Task | None], tick: Callable[[int], None]
    ) -> Iterator[Outcome]:
        """Give tasks to the workers; yield each result, in the order in which they end.

        Args:
            next_task: Returns a task, or None while there is none; called again after each result.
            tick: Called about once a second with the number of items that are done in the units
                that are being embedded.

        Raises:
            RetrievalError: A worker met an error that ends the run.
        """
        while True:
            for worker in self._workers:
                if worker.ready is not None and worker.task is None:
                    worker.task = next_task()
                    if worker.task is not None:
                        task = worker.task
                        worker.future = worker.actor.embed.remote(task.unit, task.folder)
            is_idle = any(each.ready is not None and each.task is None for each in self._workers)
            if is_idle and not any(worker.task for worker in self._workers):
                return
            for worker in self._finished_calls(WAIT_SECONDS):
                finished = worker.task
                outcome = self._result(worker)
                if finished is not None and outcome is not None:
                    yield finished, outcome
                elif isinstance(outcome, Lost):
                    self._count_failed_start(outcome)
            tick(self._seen())

    def _count_failed_start(self, lost: Lost) -> None:
        self._failed_starts += 1
        if self._failed_starts > MAX_FAILED_STARTS:
            raise ClusterError(f"workers end while they start: {lost.reason}")

    # ------------------------------------------------------------ workers

    def _new_worker(self) -> _Worker:
        actor = self._class.remote()
        return _Worker(actor, actor.prepare.remote(self._job, self.size.cpus))

    def _kill(self, worker: _Worker) -> None:
        try:
            self._ray.kill(worker.actor)
        except Exception as error:  # it is dead, or the cluster is
            logger.debug("%s", error)

    def _finished_calls(self, seconds: float) -> list[_Worker]:
        """Wait until a call ends; return the workers whose calls have ended."""
        futures = {worker.future: worker for worker in self._workers if worker.future is not None}
        if not futures:
            time.sleep(seconds)
            return []
        done, _ = self._ray.wait(list(futures), num_returns=1, timeout=seconds)
        return [futures[future] for future in done]

    def _result(self, worker: _Worker) -> UnitResult | Lost | None:
        """Return the result of an ended call; None for a worker that became ready."""
        exceptions = self._ray.exceptions
        future, worker.future, worker.task = worker.future, None, None
        try:
            result = self._ray.get(future)
        except exceptions.RayError as error:
            self._kill(worker)
            self._workers[self._workers.index(worker)] = self._new_worker()
            return Lost(_first_line(error), self._node_died(worker))
        if isinstance(result, Problem):
            raise error_of(result)
        if isinstance(result, Ready):
            self._accept(worker, result)
            return None
        assert isinstance(result, UnitResult)
        return result

    def _accept(self, worker: _Worker, ready: Ready) -> None:
        """Compare the spaces of a new worker with those of the others."""
        worker.ready = ready
        self._failed_starts = 0
        self.spaces = self.spaces or ready.spaces
        own = {(space.name, space.digest) for space in ready.spaces}
        others = {(space.name, space.digest) for space in self.spaces}
        if own != others:
            names = sorted(name for name, _ in own ^ others)
            raise ClusterError(
                f"node {ready.node} embeds into other spaces than the other nodes "
                f"({', '.join(names)}); fetch the same models on all nodes"
            )

    def _node_died(self, worker: _Worker) -> bool:
        if worker.ready is None:
            return False
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        return worker.ready.node_id not in alive

    def _seen(self) -> int:
        """Return the number of items that are done in the units that are being embedded."""
        calls = [worker.actor.seen.remote() for worker in self._workers if worker.task is not None]
        if not calls:
            return 0
        done, _ = self._ray.wait(calls, num_returns=len(calls), timeout=WAIT_SECONDS)
        total = 0
        for call in done:
            try:
                total += self._ray.get(call)
            except self._ray.exceptions.RayError:
                continue  # its worker ended; `run` notices
        return total


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # A task's error ends with the error itself, after the traceback of the worker.
    is_task_error = type(error).__name__.startswith("RayTaskError") or "Traceback" in str(error)
    return (lines[-1] if is_task_error else lines[0]) if lines else type(error).__name__
