"""Embeds the videos of a moment suite into a collection, and searches it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.datasets.embedded_files import embed_files, encoders_of, spaces_of, uris_of
from benchmarks.datasets.stored_texts import ItemTexts
from benchmarks.moments.scoring import MAP_WINDOWS, RANKS
from benchmarks.moments.suite import TimedQuery
from benchmarks.ranking.text_vectors import cached_text_vectors
from benchmarks.results.outcome import VideoMoment
from benchmarks.suite import RunOptions
from benchmarks.text_encoder import FixedTextEncoder
from retrieval.collection import Collection
from retrieval.errors import SourceError
from retrieval.localization.choose import choose_localizers
from retrieval.localization.similarity import SimilarityLocalizer
from retrieval.protocols import Localizer
from retrieval.search.options import SearchOptions
from retrieval.search.query import Query
from retrieval.search.searcher import Searcher
from retrieval.targets import Target, TextMode
from retrieval.types import Hit, Medium, Space

logger = logging.getLogger(__name__)

MAX_RANK: Final = max(RANKS)


@dataclass(frozen=True, slots=True)
class VideoCorpus:
    """A collection that holds exactly the videos of a suite.

    Attributes:
        collection: The collection.
        spaces: The searched spaces.
        texts: Vectors of the queries by space.
        item_ids: Item ids by video, without videos that could not be embedded.
        names: Videos by item id.
        files: Files by video.
        is_exact: Whether the index that `auto` built is exact.
    """

    collection: Collection
    spaces: Sequence[Space]
    texts: Mapping[str, FixedTextEncoder]
    item_ids: Mapping[str, int]
    names: Mapping[int, str]
    files: Mapping[str, Path]
    is_exact: bool

    @classmethod
    def embed(
        cls,
        suite: str,
        files: Mapping[str, Path],
        queries: Sequence[str],
        options: RunOptions,
        texts: ItemTexts | None = None,
    ) -> VideoCorpus:
        """Embed and index videos, and embed queries, as far as no earlier run did.

        Args:
            suite: Name of the suite, for messages.
            files: Files by video.
            queries: Texts of the queries.
            options: Options of the run.
            texts: The texts to store with the videos; None: those of the files.

        Raises:
            SourceError: The folder holds a collection with other videos, which searches would
                return, or no video could be embedded.
            UnknownModelError: A model does not exist, or none embeds videos.
        """
        encoders = encoders_of(suite, Medium.VIDEO, options.models)
        root = options.folder / "collection"
        collection, cards = embed_files(
            root, files, Medium.VIDEO, encoders, options.progress, texts=texts
        )
        known, failures = collection.snapshot.known_files(), collection.snapshot.failures()
        item_ids = {}
        for video, uri in uris_of(files).items():
            if uri in known:
                item_ids[video] = known[uri].item_id
            elif uri in failures:
                logger.warning("%s is left out: %s", uri, failures[uri].reason)
        if not item_ids:
            raise SourceError(
                f"none of {len(files)} videos could be embedded; the status of the collection "
                f"{root} lists the reasons"
            )
        spaces = spaces_of(collection, Medium.VIDEO, encoders)
        vectors = {
            space.name: FixedTextEncoder(
                queries, cached_text_vectors(options.folder / "texts", collection, space, queries)
            )
            for space in spaces
        }
        is_exact = all(card.factory is None for card in cards if card.space in vectors)
        names = {item_id: video for video, item_id in item_ids.items()}
        return cls(collection, spaces, vectors, item_ids, names, files, is_exact)

    def localizers(self, name: str) -> dict[str, tuple[Localizer, ...]]:
        """Choose the localizers to measure: those of a name, and always `similarity`."""
        similarity = (SimilarityLocalizer(),)
        chosen = choose_localizers(name, self.spaces, device=self.collection.device)
        if len(chosen) == 1:
            return {"similarity": similarity}
        return {"Hammer": chosen, "similarity": similarity}

    def searcher(self, localizers: Sequence[Localizer] = (), *, exact: bool = False) -> Searcher:
        """Open the indexes, or exact ones. Without localizers, only videos can be searched."""
        return Searcher(
            self.collection.snapshot,
            lambda space: self.texts[space.name],
            localizers or (SimilarityLocalizer(),),
            exact=exact,
            device=self.collection.device,
        )

    def moments_in_true_video(self, searcher: Searcher, query: TimedQuery) -> list[VideoMoment]:
        """Find moments in the true video of a query, best first, as many as mAP reads."""
        where = f"item_id = {self.item_ids[query.video_id]}"
        return self._moments(searcher, query.query, MAP_WINDOWS, where)

    def moments(self, searcher: Searcher, query: TimedQuery) -> list[VideoMoment]:
        """Find moments in all videos, best first."""
        return self._moments(searcher, query.query, MAX_RANK)

    def hybrid_moments(self, searcher: Searcher, text: str, mode: TextMode) -> list[VideoMoment]:
        """Find moments in all videos by vectors, words, or both; scores are reciprocal ranks."""
        moments = self._moments(searcher, text, MAX_RANK, mode=mode)
        return [(*moment[:3], 1 / rank) for rank, moment in enumerate(moments, 1)]

    def ranked_videos(self, searcher: Searcher, query: TimedQuery) -> list[str]:
        """Rank all videos, best first."""
        options = self._options([Target.VIDEO], MAX_RANK)
        return [video for video, _ in self._search(searcher, query.query, options)]

    def _moments(
        self,
        searcher: Searcher,
        text: str,
        k: int,
        where: str | None = None,
        *,
        mode: TextMode = TextMode.OFF,
    ) -> list[VideoMoment]:
        options = self._options([Target.VIDEO, Target.MOMENT], k, where, mode)
        return [
            (video, hit.start_seconds, hit.end_seconds, hit.score or 0.0)
            for video, hit in self._search(searcher, text, options)
            if hit.start_seconds is not None and hit.end_seconds is not None
        ]

    def _options(
        self,
        to: Sequence[Target],
        k: int,
        where: str | None = None,
        mode: TextMode = TextMode.OFF,
    ) -> SearchOptions:
        spaces = [space.name for space in self.spaces]
        return SearchOptions(to=to, k=k, where=where, spaces=spaces, text=mode)

    def _search(
        self, searcher: Searcher, text: str, options: SearchOptions
    ) -> list[tuple[str, Hit]]:
        """Return hits with their videos."""
        hits = searcher.search(Query.of_text(text), options).hits
        return [(self.names[hit.item_id], hit) for hit in hits]
