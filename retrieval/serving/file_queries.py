"""Embeds files that clients send as queries, and keeps their vectors for further pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from cachetools import LRUCache

from indexes.forking import ForkSafeLock
from retrieval.encoders.spaces import decode_plan
from retrieval.media.workers.tasks import TaskPool
from retrieval.search.query import EmbeddedFile
from retrieval.search.query_vectors import embed_events, load_encoders
from retrieval.serving.bodies import Body
from retrieval.serving.errors import HttpError
from retrieval.serving.generations import Generation, ServedCollection
from retrieval.serving.limits import MAX_FILE_QUERIES, MAX_MEDIA_SECONDS
from retrieval.serving.tasks import QueryTask
from retrieval.types import DecodeEvent

SHOWN_DIGITS = 8


class FileQueries:
    """The vectors of recent file queries, by collection and sha256.

    Args:
        pool: Decoding processes.
    """

    def __init__(self, pool: TaskPool) -> None:
        self._pool = pool
        self._lock = ForkSafeLock()
        self._known: LRUCache[tuple[str, str], EmbeddedFile] = LRUCache(MAX_FILE_QUERIES)

    def get(self, collection: ServedCollection, digest: str) -> EmbeddedFile:
        """Return a file that was sent before.

        Raises:
            HttpError: 404: it is not known, or no longer.
        """
        with self._lock:
            known = self._known.get((collection.slug, digest))
        if known is None:
            raise HttpError(404, f"the file {digest[:SHOWN_DIGITS]} is not known; send it again")
        return known

    def add(self, collection: ServedCollection, body: Body) -> EmbeddedFile:
        """Decode a file in another process, recognize it by its content, and embed it.

        Raises:
            MediaError: It is too large, too long or damaged.
            QueryError: It is not media that a model of the collection embeds.
        """
        key = (collection.slug, body.digest)
        with self._lock:
            known = self._known.get(key)
        if known is None:
            name = f"file {body.digest[:SHOWN_DIGITS]}"
            known = self._embed(collection, collection.current, body, name)
            with self._lock:
                self._known[key] = known
        return known

    def _embed(
        self, collection: ServedCollection, generation: Generation, body: Body, name: str
    ) -> EmbeddedFile:
        pairs = load_encoders(generation.snapshot.spaces, collection.encoder)
        plan = decode_plan(list(pairs.values()), sound_of_videos=True)
        task = QueryTask(plan, MAX_MEDIA_SECONDS)
        events = self._pool.run(task, body.file.fileno(), 0, body.size)
        return EmbeddedFile(name, embed_events(cast(Sequence[DecodeEvent], events), pairs, name))
