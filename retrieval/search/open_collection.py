"""What of a collection is open in this process: models, indexes, and the generation in use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

from indexes.forking import ForkSafeLock
from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.spaces import check_encoder
from retrieval.localization.choose import choose_localizers
from retrieval.protocols import Encoder
from retrieval.search.reranking.reranker import Reranker, load_reranker
from retrieval.search.searcher import Searcher
from retrieval.store.reader import Snapshot
from retrieval.types import Space


class OpenCollection:
    """The folder of a collection with everything that is loaded from it, each at its first use.

    Threads share one object. A pickle holds the place alone, so another process loads its own.

    Attributes:
        root: The folder.
        device: Where models run and indexes are searched: `auto`, `cpu` or `cuda`.
        localizer: What finds moments: `auto`, `similarity`, `hammer` or `hammer:FOLDER`.
    """

    def __init__(
        self, root: str | os.PathLike[str], *, device: str = "auto", localizer: str = "auto"
    ) -> None:
        self.root = Path(root).expanduser()
        self.device = device
        self.localizer = localizer
        self._opened()

    def _opened(self) -> None:
        """Nothing is loaded yet."""
        self._lock = ForkSafeLock()
        self._encoders: dict[str, Encoder] = {}
        self._rerankers: dict[str, Reranker] = {}
        self._snapshot: Snapshot | None = None
        self._searcher: Searcher | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Where it lies: another process opens the files again and loads the models itself."""
        return {"root": self.root, "device": self.device, "localizer": self.localizer}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._opened()

    def close(self) -> None:
        """Let go of models, indexes and files; the next method opens them again."""
        self.refresh()
        self._encoders.clear()
        self._rerankers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def encoder(self, space: Space) -> Encoder:
        """The encoder of a space, loaded at first use and checked against the space's digest."""
        with self._lock:
            if space.name not in self._encoders:
                encoder = load_encoder(space.encoder, device=self.device)
                check_encoder(space, encoder)
                self._encoders[space.name] = encoder
            return self._encoders[space.name]

    def reranker(self, spec: str) -> Reranker:
        """A re-ranker by its specification, loaded at first use."""
        with self._lock:
            if spec not in self._rerankers:
                self._rerankers[spec] = load_reranker(spec, device=self.device)
            return self._rerankers[spec]

    @property
    def snapshot(self) -> Snapshot:
        """The generation that reading methods answer from."""
        with self._lock:
            if self._snapshot is None:
                self._snapshot = Snapshot.open(self.root)
            return self._snapshot

    @property
    def searcher(self) -> Searcher:
        """Opened indexes over `snapshot`."""
        with self._lock:
            if self._searcher is None:
                spaces = self.snapshot.spaces
                localizers = choose_localizers(self.localizer, spaces, device=self.device)
                self._searcher = Searcher(
                    self.snapshot, self.encoder, localizers, device=self.device
                )
            return self._searcher

    def refresh(self) -> None:
        """Move on to the newest generation."""
        with self._lock:
            self._snapshot = self._searcher = None
