"""What the routes share: collections, queues, decoding processes and caches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from platformdirs import user_cache_path

from retrieval.media.workers.tasks import TaskPool
from retrieval.serving.derived import DerivedMedia
from retrieval.serving.disk_cache import DiskCache
from retrieval.serving.errors import HttpError
from retrieval.serving.file_queries import FileQueries
from retrieval.serving.generations import ServedCollection
from retrieval.serving.item_files import ItemFiles
from retrieval.serving.library import Library
from retrieval.serving.limits import (
    CACHE_BYTES,
    DECODE_SECONDS,
    MAX_RUNNING_SEARCHES,
    MAX_RUNNING_SLOW,
    MAX_WAITING_SEARCHES,
    MAX_WAITING_SLOW,
    MAX_WAITING_UPLOADS,
)
from retrieval.serving.metrics import Metrics
from retrieval.serving.search_queue import SearchQueue
from retrieval.serving.several import SearchGroups
from retrieval.serving.transcodes import Transcodes


def cache_folder() -> Path:
    """Return the folder of the thumbnail cache."""
    return user_cache_path("retrieval") / "serve"


EVERY = "*"
"""Stands for all collections where slugs are expected."""


@dataclass(frozen=True)
class Services:
    """Created once per server; `close` ends its threads and processes.

    `uploads` is the queue of file queries and `slow` that of overviews, so that searches do not
    wait for them.
    """

    library: Library
    metrics: Metrics = field(default_factory=Metrics)
    files: ItemFiles = field(default_factory=ItemFiles)
    searches: SearchQueue = field(
        default_factory=lambda: SearchQueue(MAX_RUNNING_SEARCHES, MAX_WAITING_SEARCHES)
    )
    uploads: SearchQueue = field(
        default_factory=lambda: SearchQueue(MAX_RUNNING_SLOW, MAX_WAITING_UPLOADS)
    )
    slow: SearchQueue = field(
        default_factory=lambda: SearchQueue(MAX_RUNNING_SLOW, MAX_WAITING_SLOW)
    )
    pool: TaskPool = field(default_factory=lambda: TaskPool(_processes(), DECODE_SECONDS))
    cache: DiskCache = field(default_factory=lambda: DiskCache(cache_folder(), CACHE_BYTES))
    transcodes: Transcodes = field(default_factory=Transcodes)
    groups: SearchGroups = field(default_factory=SearchGroups)
    derived: DerivedMedia = field(init=False)
    file_queries: FileQueries = field(init=False)

    def __post_init__(self) -> None:
        derived = DerivedMedia(self.files, self.pool, self.cache, threads=_processes() + 2)
        object.__setattr__(self, "derived", derived)
        object.__setattr__(self, "file_queries", FileQueries(self.pool))

    def collection(self, slug: str | None) -> ServedCollection:
        """Return a collection by its slug.

        Raises:
            HttpError: 404: there is none.
        """
        collection = self.library.get(slug)
        if collection is None:
            raise HttpError(404, "no collection of this name is served")
        return collection

    def collections(self, slugs: Sequence[str]) -> list[ServedCollection]:
        """Return collections by their slugs, each once; all for `*`, the default one for none.

        Raises:
            HttpError: 404: there is none of a slug.
        """
        if EVERY in slugs:
            return list(self.library)
        return [self.collection(slug) for slug in dict.fromkeys(slugs)] or [self.collection(None)]

    def close(self) -> None:
        """End all threads and processes."""
        self.searches.close()
        self.slow.close()
        self.uploads.close()
        self.derived.close()
        self.pool.close()
        self.library.close()


def _processes() -> int:
    return max(2, min(os.cpu_count() or 2, 8))
