"""Determines which files and encoders the answer to a query needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from retrieval.media.files import EXTENSIONS
from retrieval.media.names import container_of, extension
from retrieval.search.filtering import media_targets
from retrieval.search.query import Query
from retrieval.search.vector_query import VectorQuery
from retrieval.targets import Target
from retrieval.types import Medium

ALL = frozenset(Medium)

_MODALITIES = {
    Target.IMAGE: frozenset({Medium.IMAGE}),
    Target.MUSIC: frozenset({Medium.AUDIO}),
    Target.VIDEO: frozenset({Medium.VIDEO}),
}
"""Modalities that the files of a target may have; the extension of a video allows audio, too."""

_MEDIA = {
    Target.IMAGE: frozenset({Medium.IMAGE}),
    Target.MUSIC: frozenset({Medium.AUDIO}),
    Target.VIDEO: frozenset({Medium.VIDEO, Medium.AUDIO}),
}
"""Media of the segments that are compared with the query; a video is also found by its sound."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be embedded for an answer: files whose extension allows one of each.

    Attributes:
        modalities: Modalities of the files.
        media: Media of the segments that are compared with the query.
    """

    modalities: frozenset[Medium] = ALL
    media: frozenset[Medium] = ALL

    @classmethod
    def of(cls, to: Collection[Target] = (), query: Query | VectorQuery | None = None) -> Needs:
        """Determine the needs of a query for some targets.

        A text finds everything, a picture nothing in sound, and a recording nothing in pictures.
        """
        targets = media_targets(to)
        modalities = frozenset(medium for target in targets for medium in _MODALITIES[target])
        media = frozenset(medium for target in targets for medium in _MEDIA[target])
        # If nothing is comparable, the search explains why.
        return cls(modalities, media & _comparable(query) or media)

    def __or__(self, other: Needs) -> Needs:
        return Needs(self.modalities | other.modalities, self.media | other.media)

    def __ge__(self, other: Needs) -> bool:
        return self.modalities >= other.modalities and self.media >= other.media

    def media_of(self, extensions: Iterable[str]) -> frozenset[Medium]:
        """Return the needed media that files of some extensions may contain."""
        possible = [set(EXTENSIONS.get(name, tuple(Medium))) for name in extensions]
        needed = [media for media in possible if media & self.modalities and media & self.media]
        return self.media & frozenset(medium for media in needed for medium in media)


def _comparable(query: Query | VectorQuery | None) -> frozenset[Medium]:
    """Return the media that all terms of a query can be compared with."""
    comparable = ALL
    for term in query.terms if isinstance(query, Query) else ():
        media: tuple[Medium, ...] = tuple(Medium)
        if term.picture is not None:
            media = (Medium.IMAGE,)
        elif term.path is not None:
            media = EXTENSIONS.get(extension(container_of(term.path)[1] or term.path), media)
        if media == (Medium.IMAGE,):
            comparable &= {Medium.IMAGE, Medium.VIDEO}
        elif media == (Medium.AUDIO,):
            comparable &= {Medium.AUDIO}
    return comparable
