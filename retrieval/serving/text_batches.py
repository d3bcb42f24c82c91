"""Encodes simultaneous text queries together, and keeps recent vectors."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, cast

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from retrieval.protocols import Encoder
from retrieval.serving.limits import MAX_CACHED_TEXTS

Vector = NDArray[np.float32]

MAX_BATCH = 256


class _Encoded(NamedTuple):
    """The (1, dim) vector of a text, and whether it was encoded in a batch of its own."""

    vector: Vector
    alone: bool


@dataclass(frozen=True, slots=True)
class _Job:
    text: str
    alone: bool
    future: Future[Vector]


class TextBatcher:
    """Encodes texts in one thread: whatever waits when the encoder becomes free is one batch.

    Attributes:
        batches: Number of batches so far.
        texts: Number of texts in them.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._known: LRUCache[str, _Encoded] = LRUCache(MAX_CACHED_TEXTS)
        self.batches = 0
        self.texts = 0
        threading.Thread(target=self._run, daemon=True, name="text encoder").start()

    def submit(self, text: str, *, alone: bool = False) -> Future[Vector]:
        """Return the vector of a text, (1, dim), now or later.

        Args:
            text: The text.
            alone: Encode it in a batch of its own. The other texts of a batch can change the last
                bits of a vector.
        """
        future: Future[Vector] = Future()
        with self._lock:
            known = self._known.get(text)
        if known is not None and (known.alone or not alone):
            future.set_result(known.vector)
        else:
            self._jobs.put(_Job(text, alone, future))
        return future

    def close(self) -> None:
        """End the thread after the waiting texts."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs = [job]
            while len(jobs) < MAX_BATCH:
                try:
                    waiting = self._jobs.get_nowait()
                except Empty:
                    break
                if waiting is None:
                    self._jobs.put(None)
                    break
                jobs.append(waiting)
            for group in _groups(jobs):
                self._encode(group)

    def _encode(self, jobs: Sequence[_Job]) -> None:
        texts = list(dict.fromkeys(job.text for job in jobs))
        try:
            rows = self._encoder.encode_text(texts)
        except Exception as error:
            if len(texts) == 1:
                for job in jobs:
                    job.future.set_exception(error)
                return
            for text in texts:  # one bad text must not fail the others
                self._encode([job for job in jobs if job.text == text])
            return
        self.batches += 1
        self.texts += len(texts)
        vectors = {text: rows[number : number + 1] for number, text in enumerate(texts)}
        with self._lock:
            for text, vector in vectors.items():
                self._known[text] = _Encoded(vector, alone=len(texts) == 1)
        for job in jobs:
            job.future.set_result(vectors[job.text])


def _groups(jobs: Sequence[_Job]) -> list[list[_Job]]:
    """Separate the texts that need a batch of their own."""
    shared = [job for job in jobs if not job.alone]
    return ([shared] if shared else []) + [[job] for job in jobs if job.alone]


class BatchedEncoder:
    """An encoder whose texts go through a `TextBatcher`; everything else is the encoder's own."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.batcher = TextBatcher(encoder)

    def encode_text(self, texts: Sequence[str]) -> Vector:
        """Embed texts, together with those that other threads wait for."""
        futures = [self.batcher.submit(text) for text in texts]
        if not futures:
            return self._encoder.encode_text(texts)
        return np.concatenate([future.result() for future in futures])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)


def as_encoder(encoder: BatchedEncoder) -> Encoder:
    """Return the wrapper as the protocol that its attributes fulfil."""
    return cast(Encoder, encoder)
