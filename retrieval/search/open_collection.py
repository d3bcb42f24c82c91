"""Opens the models, indexes and files of a collection at their first use."""

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
    """The folder of a collection, and everything loaded from it.

    Threads can share one object. A pickle contains only the attributes, so another process loads
    models and files itself.

    Attributes:
        root: The folder.
        device: Device of models and indexes: `auto`, `cpu` or `cuda`.
        localizer: Localizer of moments: `auto`, `similarity`, `hammer` or `hammer:FOLDER`.
        below: Searches return only the files below this folder; None: all.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        device: str = "auto",
        localizer: str = "auto",
        below: Path | None = None,
    ) -> None:
        self.root = Path(root).expanduser()
        self.device = device
        self.localizer = localizer
        self.below = below
        self._reset()

    def _reset(self) -> None:
        self._lock = ForkSafeLock()
        self._encoders: dict[str, Encoder] = {}  # by name of their space
        self._loaded: dict[tuple[str, str], Encoder] = {}  # by specification and device
        self._rerankers: dict[str, Reranker] = {}
        self._snapshot: Snapshot | None = None
        self._searcher: Searcher | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes without loaded models and files."""
        names = ("root", "device", "localizer", "below")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def close(self) -> None:
        """Release models, indexes and files. The next method call opens them again."""
        self.refresh()
        self._encoders.clear()
        self._loaded.clear()
        self._rerankers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def encoder(self, space: Space) -> Encoder:
        """Return the encoder of a space, and check it against the space's digest at first use."""
        with self._lock:
            if space.name not in self._encoders:
                encoder = self.load_encoder(space.encoder, device=self.device)
                check_encoder(space, encoder)
                self._encoders[space.name] = encoder
            return self._encoders[space.name]

    def load_encoder(self, spec: str, *, device: str) -> Encoder:
        """Load an encoder once; embedding and searching share it."""
        with self._lock:
            if (spec, device) not in self._loaded:
                self._loaded[spec, device] = load_encoder(spec, device=device, text_first=True)
            return self._loaded[spec, device]

    def reranker(self, spec: str) -> Reranker:
        """Return a re-ranker by its specification."""
        with self._lock:
            if spec not in self._rerankers:
                self._rerankers[spec] = load_reranker(spec, device=self.device)
            return self._rerankers[spec]

    @property
    def snapshot(self) -> Snapshot:
        """The generation that reading methods use."""
        with self._lock:
            if self._snapshot is None:
                self._snapshot = Snapshot.open(self.root)
            return self._snapshot

    @property
    def searcher(self) -> Searcher:
        """A searcher over `snapshot`."""
        with self._lock:
            if self._searcher is None:
                spaces = self.snapshot.spaces
                localizers = choose_localizers(self.localizer, spaces, device=self.device)
                self._searcher = Searcher(
                    self.snapshot, self.encoder, localizers, device=self.device
                )
            return self._searcher

    def refresh(self) -> None:
        """Use the newest generation from now on."""
        with self._lock:
            self._snapshot = self._searcher = None
