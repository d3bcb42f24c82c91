"""The videos of a suite of moments as a collection, and what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from benchmarks.datasets.embedded_files import Say, embed_files, encoders_of, spaces_of, uris_of
from benchmarks.moments.suite import Question
from benchmarks.moments.task import MAP_WINDOWS, RANKS, Moment
from benchmarks.ranking.text_vectors import RememberedTexts, text_vectors
from retrieval.collection import Collection
from retrieval.errors import SourceError
from retrieval.localization.choose import choose_localizers
from retrieval.localization.similarity import SimilarityLocalizer
from retrieval.protocols import Encoder, Localizer
from retrieval.search.options import SearchOptions
from retrieval.search.query import Query
from retrieval.search.searcher import Searcher
from retrieval.targets import Target
from retrieval.types import Hit, Medium, Space

DEEPEST: Final = max(RANKS)


@dataclass(frozen=True, slots=True)
class Corpus:
    """A collection that holds the videos of a suite and no others.

    Attributes:
        collection: The collection.
        spaces: Those that are searched.
        texts: What is asked, embedded: by space.
        item_ids: By video; those that could not be embedded are left out.
        names: Videos by item id.
        files: By video.
        exact: Whether the index that `auto` built is.
    """

    collection: Collection
    spaces: Sequence[Space]
    texts: Mapping[str, RememberedTexts]
    item_ids: Mapping[str, int]
    names: Mapping[int, str]
    files: Mapping[str, Path]
    exact: bool

    @classmethod
    def embedded(
        cls,
        suite: str,
        folder: Path,
        files: Mapping[str, Path],
        models: Sequence[str],
        queries: Sequence[str],
        say: Say,
    ) -> Corpus:
        """Embed and index videos, and embed what is asked; each only where no run has done it.

        Raises:
            SourceError: The folder's collection holds other videos too, which searches would
                find, or none could be embedded.
            UnknownModelError: No such model, or none that embeds videos.
        """
        encoders = encoders_of(suite, Medium.VIDEO, models)
        root = folder / "collection"
        collection, cards = embed_files(root, files, Medium.VIDEO, encoders, say)
        known, failures = collection.snapshot.known_files(), collection.snapshot.failures()
        item_ids = {}
        for video, uri in uris_of(files).items():
            if uri in known:
                item_ids[video] = known[uri].item_id
            elif uri in failures:
                say(f"{uri} is left out: {failures[uri].reason}")
        if not item_ids:
            raise SourceError(
                f"none of {len(files)} videos could be embedded; `retrieval status {root}` says why"
            )
        spaces = spaces_of(collection, Medium.VIDEO, encoders)
        texts = {
            space.name: RememberedTexts(
                queries, text_vectors(folder / "texts", collection, space, queries)
            )
            for space in spaces
        }
        exact = all(card.factory is None for card in cards if card.space in texts)
        names = {item_id: video for video, item_id in item_ids.items()}
        return cls(collection, spaces, texts, item_ids, names, files, exact)

    def localizers(self, name: str) -> dict[str, tuple[Localizer, ...]]:
        """The localizers that are measured, by name: what `name` means, and `similarity`."""
        similarity = (SimilarityLocalizer(),)
        chosen = choose_localizers(name, self.spaces, device=self.collection.device)
        if len(chosen) == 1:
            return {"similarity": similarity}
        return {"Hammer": chosen, "similarity": similarity}

    def searcher(self, localizers: Sequence[Localizer], *, exact: bool = False) -> Searcher:
        """Opened indexes, or exact ones; without localizers it finds no moments."""
        return Searcher(
            self.collection.snapshot,
            # An encoder is asked for texts only, unless a query holds a file.
            lambda space: cast(Encoder, self.texts[space.name]),
            localizers or (SimilarityLocalizer(),),
            exact=exact,
            device=self.collection.device,
        )

    def moments_of_its_video(self, searcher: Searcher, one: Question) -> list[Moment]:
        """As many moments of a question's own video as mAP looks at, best first."""
        where = f"item_id = {self.item_ids[one.video_id]}"
        return self._moments(searcher, one, MAP_WINDOWS, where)

    def moments(self, searcher: Searcher, one: Question) -> list[Moment]:
        """Moments of all videos, best first."""
        return self._moments(searcher, one, DEEPEST)

    def ranked_videos(self, searcher: Searcher, one: Question) -> list[str]:
        """All videos, best first."""
        return [video for video, _ in self._search(searcher, one, [Target.VIDEO], DEEPEST)]

    def _moments(
        self, searcher: Searcher, one: Question, k: int, where: str | None = None
    ) -> list[Moment]:
        found = self._search(searcher, one, [Target.VIDEO, Target.MOMENT], k, where)
        return [
            (video, hit.start_seconds, hit.end_seconds, hit.score)
            for video, hit in found
            if hit.start_seconds is not None and hit.end_seconds is not None
        ]

    def _search(
        self,
        searcher: Searcher,
        one: Question,
        to: Sequence[Target],
        k: int,
        where: str | None = None,
    ) -> list[tuple[str, Hit]]:
        """Hits, each with its video."""
        query = Query.of_text(one.query)
        spaces = [space.name for space in self.spaces]
        hits = searcher.search(query, SearchOptions(to=to, k=k, where=where, spaces=spaces)).hits
        return [(self.names[hit.item_id], hit) for hit in hits]
