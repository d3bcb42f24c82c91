"""The actor that embeds units on a node of the cluster."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.embedding.options import EmbedOptions
from retrieval.embedding.unit_run import UnitResult, embed_unit
from retrieval.embedding.units import Unit
from retrieval.engines.ray.problems import Problem, problem_of
from retrieval.errors import RetrievalError
from retrieval.files.objects import is_object
from retrieval.media.workers.process import WorkerProcess
from retrieval.types import Source, Space

if TYPE_CHECKING:
    from retrieval.protocols import Encoder


@dataclass(frozen=True, slots=True)
class Job:
    """What all workers of a run share.

    Attributes:
        options: Options of the run; `workers` is the number of decoding processes of one worker.
        spaces: The spaces of the collection; empty if it is new.
        token_file: A file on the shared file system.
        token: Its content.
        version: The release of this package that the coordinator runs.
    """

    options: EmbedOptions
    spaces: tuple[Space, ...]
    token_file: Path
    token: str
    version: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker that has loaded its encoders.

    Attributes:
        node: Name of its machine.
        node_id: Ray's id of its node.
        spaces: The spaces that it embeds into.
    """

    node: str
    node_id: str
    spaces: tuple[Space, ...]


class UnitWorker:
    """Embeds units; an actor of the cluster. Its methods run in threads."""

    def __init__(self) -> None:
        self._encoders: dict[str, Encoder] = {}
        self._job: Job | None = None
        self._seen = 0
        self._decoders: list[WorkerProcess] = []  # starting them takes as long as many pictures

    def prepare(self, job: Job, threads: int) -> Ready | Problem:
        """Check this node and load the encoders.

        Args:
            job: The run.
            threads: Threads of a model on the processor.
        """
        import ray

        import retrieval

        node = socket.gethostname()
        if retrieval.__version__ != job.version:
            return Problem(
                "ClusterError",
                f"node {node} runs release {retrieval.__version__} of this package, expected "
                f"{job.version}; install the same on all nodes",
            )
        try:
            token = job.token_file.read_text()
        except OSError:
            token = ""
        if token != job.token:
            return Problem(
                "ClusterError",
                f"node {node} does not see {job.token_file.parent.parent}; mount the same file "
                "system at the same path on all nodes",
            )
        import torch

        torch.set_num_threads(threads)
        self._job = job
        try:
            spaces = self._open_spaces(job)
        except RetrievalError as error:
            return problem_of(error)
        return Ready(node, ray.get_runtime_context().get_node_id(), spaces)

    def _open_spaces(self, job: Job) -> tuple[Space, ...]:
        from retrieval.embedding.options import open_spaces

        spaces = open_spaces(Unit((), spaces=job.spaces), job.options, self._load)
        return tuple(space for space, _ in spaces.values())

    def embed(self, unit: Unit, folder: Path) -> UnitResult | Problem:
        """Embed a unit into a collection in a folder of the shared file system."""
        node = socket.gethostname()
        assert self._job is not None  # the coordinator prepares a worker first
        self._seen = 0
        if unit.sources and not any(map(_is_visible, unit.sources)):
            return Problem(
                "ClusterError",
                f"node {node} does not see {unit.sources[0].path}; mount the same file system at "
                "the same path on all nodes",
            )
        try:
            return embed_unit(
                unit,
                folder,
                self._job.options,
                self._count,
                load=self._load,
                spare_decoders=self._decoders,
            )
        except RetrievalError as error:
            return problem_of(error)

    def seen(self) -> int:
        """Return the number of items of the current unit that are done."""
        return self._seen

    def _count(self, task: str, done: float, total: float | None, note: str = "") -> None:
        del total, note
        if task == "embedding":
            self._seen = int(done)

    def _load(self, spec: str, *, device: str) -> Encoder:
        from retrieval.encoders.catalogue import load_encoder

        if spec not in self._encoders:
            self._encoders[spec] = load_encoder(spec, device=device)
        return self._encoders[spec]


def _is_visible(source: Source) -> bool:
    return is_object(source.path) or os.path.exists(source.path)


def worker_options(options: EmbedOptions, decoders: int) -> EmbedOptions:
    """Return the options of a worker; the coordinator lists, compares and prunes."""
    return replace(options, workers=decoders, exclude=(), prune=False, unit=None)
