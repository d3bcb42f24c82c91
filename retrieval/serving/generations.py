"""One served collection: its current generation, and the switch to the next one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from indexes.forking import ForkSafeLock
from retrieval.errors import (
    CollectionError,
    IndexFileError,
    MissingExtraError,
    RetrievalError,
    StorageError,
    WeightsNotAvailableError,
)
from retrieval.localization.choose import choose_localizers
from retrieval.protocols import Encoder
from retrieval.search.items import ItemTable
from retrieval.search.open_collection import OpenCollection
from retrieval.search.query import Query
from retrieval.search.searcher import Searcher
from retrieval.serving.text_batches import BatchedEncoder, TextBatcher, as_encoder
from retrieval.store.current import CurrentGeneration, read_current
from retrieval.store.reader import Snapshot
from retrieval.store.status import Status
from retrieval.types import Medium, Space

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

VANISHED = (CollectionError, IndexFileError, StorageError, OSError)
"""Errors of reading a generation whose files were deleted."""


@dataclass(frozen=True)
class Generation:
    """One generation, opened for searching."""

    snapshot: Snapshot
    searcher: Searcher
    _derived: dict[str, Future[Any]] = field(default_factory=dict)
    _lock: ForkSafeLock = field(default_factory=ForkSafeLock)

    @property
    def number(self) -> int:
        """Number of the generation."""
        return self.snapshot.manifest.generation

    @property
    def items(self) -> ItemTable:
        """The living items."""
        return self.searcher.items

    def derive(self, name: str, compute: Callable[[], Answer]) -> Answer:
        """Return a value that depends on this generation alone, computed once.

        Requests for the same value wait for the first one.
        """
        with self._lock:
            known = self._derived.get(name)
            if known is None:
                future = self._derived[name] = Future()
        if known is not None:
            value: Answer = known.result()
            return value
        try:
            future.set_result(compute())
        except BaseException as error:
            with self._lock:
                del self._derived[name]
            future.set_exception(error)
        result: Answer = future.result()
        return result

    @cached_property
    def status(self) -> Status:
        """Counts of the content."""
        return Status.of(self.snapshot)


class ServedCollection:
    """A collection that is searched while new generations are published.

    Args:
        root: The folder.
        slug: Its name in addresses.
        device: Device of models and indexes.
        encoders: Returns the encoder of a space; by default it is loaded by its specification.
    """

    def __init__(
        self,
        root: Path,
        slug: str,
        *,
        device: str = "auto",
        encoders: Callable[[Space], Encoder] | None = None,
    ) -> None:
        self.root = root
        self.slug = slug
        self._opened = OpenCollection(root, device=device)
        self._load_encoder = encoders or self._opened.encoder
        self._encoders: dict[str, BatchedEncoder] = {}
        self._lock = ForkSafeLock()
        self._refreshing = threading.Lock()
        self._current: Generation | None = None
        self._published: CurrentGeneration | None = None

    @property
    def device(self) -> str:
        """Device of models and indexes."""
        return self._opened.device

    @property
    def current(self) -> Generation:
        """The generation that new requests use."""
        if self._current is None:
            self.refresh()
        assert self._current is not None
        return self._current

    @property
    def batchers(self) -> list[TextBatcher]:
        """The text encoders that are loaded."""
        return [encoder.batcher for encoder in self._encoders.values()]

    def close(self) -> None:
        """End the threads of the encoders."""
        for batcher in self.batchers:
            batcher.close()

    def encoder(self, space: Space) -> Encoder:
        """Return the encoder of a space, whose texts are encoded in batches."""
        with self._lock:
            if space.name not in self._encoders:
                self._encoders[space.name] = BatchedEncoder(self._load_encoder(space))
            return as_encoder(self._encoders[space.name])

    def text_batchers(self, query: Query, media: set[Medium]) -> list[tuple[TextBatcher, str]]:
        """Return the texts of a query that a search for some media needs, with their encoders.

        A search encodes what is missing here itself, such as a query with operators of words.
        """
        if query.words is not None and query.words.restricts_vectors:
            return []
        texts = [term.text for term in query.terms if term.text is not None]
        loaded = [
            self._encoders[space.name].batcher
            for space in self.current.snapshot.spaces
            if space.name in self._encoders and media & set(space.media)
        ]
        return [(batcher, text) for batcher in loaded for text in texts]

    # ------------------------------------------------------------ generations

    def refresh(self) -> bool:
        """Open the published generation if it is another one; return whether it is.

        Requests use the generation before until the new one is complete in memory.
        """
        with self._refreshing:
            published = read_current(self.root)
            current = self._current
            if current is not None and published is not None and published == self._published:
                return False
            snapshot = Snapshot.open(self.root)
            if current is None or snapshot.manifest != current.snapshot.manifest:
                self._current = self._open(snapshot)
            is_same = published and published.generation == snapshot.manifest.generation
            self._published = published if is_same else None
            return self._current is not current

    def _open(self, snapshot: Snapshot) -> Generation:
        opened = self._opened
        localizers = choose_localizers(opened.localizer, snapshot.spaces, device=opened.device)
        searcher = Searcher(snapshot, self.encoder, localizers, device=opened.device)
        self._warm_up(snapshot)
        logger.info("%s: generation %d is served", self.slug, snapshot.manifest.generation)
        return Generation(snapshot, searcher)

    def _warm_up(self, snapshot: Snapshot) -> None:
        """Load the models, so that the first query does not wait for them.

        Raises:
            WeightsNotAvailableError, MissingExtraError: No model can be loaded.
        """
        errors: list[RetrievalError] = []
        for space in snapshot.spaces:
            if space.name in self._encoders:
                continue
            logger.info("%s: loading %s", self.slug, space.encoder)
            try:
                self.encoder(space).encode_text(["warm-up"])
            except (WeightsNotAvailableError, MissingExtraError) as error:
                errors.append(error)
        if errors and not self._encoders:
            raise errors[0]
        for reason in errors:
            logger.warning("%s: one space is not searched: %s", self.slug, reason)

    def use(self, work: Callable[[Generation], Answer]) -> Answer:
        """Run work on the current generation, and again on the next one if files vanish.

        Raises:
            RetrievalError, OSError: The error of the work; there is no other generation.
        """
        while True:
            generation = self.current
            try:
                return work(generation)
            except VANISHED:
                if not self.refresh() and self.current is generation:
                    raise
                logger.info("%s: repeated on generation %d", self.slug, self.current.number)
