"""The videos of a suite of moments as a collection, and what is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from benchmarks.moment_suite import Question
from benchmarks.moment_task import MAP_WINDOWS, RANKS, Moment
from retrieval.collection import Collection
from retrieval.embed_options import EmbedOptions, EmbedReport
from retrieval.encoders.catalogue import resolve
from retrieval.errors import SourceError, UnknownModelError
from retrieval.localization.choose import choose_localizers
from retrieval.localization.similarity import SimilarityLocalizer
from retrieval.media.files import path_to_uri
from retrieval.protocols import Localizer
from retrieval.search.query import Query, Term
from retrieval.search.searcher import Searcher
from retrieval.targets import Target
from retrieval.types import Hit, Medium, Space

DEEPEST: Final = max(RANKS)
TELL_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Corpus:
    """A collection that holds the videos of a suite and no others.

    Attributes:
        collection: The collection.
        spaces: Those that are searched.
        item_ids: By video; those that could not be embedded are left out.
        names: Videos by item id.
        files: By video.
        exact: Whether the index that `auto` built is.
    """

    collection: Collection
    spaces: Sequence[Space]
    item_ids: Mapping[str, int]
    names: Mapping[int, str]
    files: Mapping[str, Path]
    exact: bool

    @classmethod
    def embedded(
        cls,
        root: Path,
        files: Mapping[str, Path],
        models: Sequence[str],
        say: Callable[[str], None],
    ) -> Corpus:
        """Embed and index videos; those that an earlier run has embedded are taken as they are.

        Raises:
            SourceError: The folder holds other videos too, which searches would find, or none
                could be embedded.
            UnknownModelError: No such model, or none that embeds videos.
        """
        collection = Collection(root)
        uris = {video: path_to_uri(str(path)) for video, path in files.items()}
        _refuse_others(collection, set(uris.values()))
        options = EmbedOptions(models=tuple(models), sound_of_videos=False)
        paths = [str(path) for path in files.values()]
        report = collection.add(*paths, options=options, on_item=_telling(len(paths), say))
        say(f"{sum(report.added.values())} videos embedded in {report.seconds:.0f} s")
        for failure in report.failures:
            say(f"{failure.uri} is left out: {failure.reason}")
        known = collection.snapshot.known_files()
        item_ids = {video: known[uri].item_id for video, uri in uris.items() if uri in known}
        if not item_ids:
            raise SourceError(
                f"none of {len(uris)} videos could be embedded; `retrieval status {root}` says why"
            )
        spaces = _video_spaces(collection, models)
        cards = collection.index(progress=say)
        searched = {space.name for space in spaces}
        exact = all(card.factory is None for card in cards if card.space in searched)
        names = {item_id: video for video, item_id in item_ids.items()}
        return cls(collection, spaces, item_ids, names, files, exact)

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
            self.collection.encoder,
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
        query = Query((Term(text=one.query),))  # as it is: `"a" + "b"` in a sentence is no sum
        spaces = [space.name for space in self.spaces]
        hits = searcher.search(query, to=to, k=k, where=where, spaces=spaces).hits
        return [(self.names[hit.item_id], hit) for hit in hits]


def _refuse_others(collection: Collection, uris: AbstractSet[str]) -> None:
    """Raise SourceError where a collection holds more than it is asked for."""
    if (collection.root / "CURRENT").exists():
        others = collection.snapshot.known_files().keys() - uris
        if others:
            raise SourceError(
                f"{collection.root} holds {len(others)} videos that are not asked here, as "
                f"{min(others)}: of another --data or --scale; name another --folder"
            )


def _video_spaces(collection: Collection, models: Sequence[str]) -> list[Space]:
    """The spaces of the models that were named, or of all, which hold videos.

    Raises:
        UnknownModelError: None does.
    """
    named = {spec for model in models for spec in resolve(model)}
    spaces = [
        space
        for space in collection.snapshot.spaces
        if Medium.VIDEO in space.media and (not named or space.encoder in named)
    ]
    if not spaces:
        raise UnknownModelError(
            f"{', '.join(models) or 'the collection'} embeds no videos; "
            "`retrieval models list` shows what does"
        )
    return spaces


def _telling(total: int, say: Callable[[str], None]) -> Callable[[EmbedReport], None]:
    """Say every few seconds how far an embedding is."""
    told = monotonic()

    def tell(report: EmbedReport) -> None:
        nonlocal told
        if monotonic() - told > TELL_SECONDS:
            told = monotonic()
            say(f"{report.seen} of {total} videos looked at")

    return tell
