"""Calibrates the scores of several members as those of one collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from retrieval.caching import LruCache
from retrieval.search.calibration import Calibration, QueryType, ScoreStatistics
from retrieval.search.media_samples import MEDIA_QUERIES, MediaSamples
from retrieval.search.member import Member
from retrieval.search.members import Members
from retrieval.search.query_vectors import QueryVectors
from retrieval.search.sampling import sample_positions
from retrieval.texts.calibration import TextCalibration
from retrieval.texts.statistics import TextStatistics
from retrieval.types import Medium

MAX_CALIBRATIONS = 16
"""Number of measured calibrations that are kept; members may be absent."""


class PooledCalibration:
    """The calibrations of some members together.

    For text queries, the index cards of the members suffice. For media queries and for words, the
    probes are searched again in all members, when they are first needed, and the result is kept.

    Args:
        members: The members.
    """

    def __init__(self, members: Members) -> None:
        self._members = members
        self._of_cards: LruCache[tuple[int, ...], Mapping[str, Calibration]] = LruCache(
            MAX_CALIBRATIONS
        )
        self._of_media: LruCache[tuple[str, tuple[int, ...]], Calibration] = LruCache(
            MAX_CALIBRATIONS
        )
        self._of_texts: LruCache[tuple[int, ...], TextCalibration] = LruCache(MAX_CALIBRATIONS)

    # ------------------------------------------------------------ vectors

    def of_query(
        self, vectors: Mapping[str, QueryVectors], numbers: Sequence[int]
    ) -> Mapping[str, Calibration]:
        """Return the calibrations of the spaces of a query.

        Args:
            vectors: The query by space.
            numbers: Numbers of the members that are searched.
        """
        key = tuple(numbers)
        of_cards = self._of_cards.get(key, partial(self._pool_cards, key))
        media = [name for name, each in vectors.items() if each.query_type is QueryType.MEDIA]
        if len(numbers) == 1 or not media:
            return of_cards
        measured = {
            name: self._of_media.get((name, key), partial(self._with_media, name, key))
            for name in media
        }
        return {**of_cards, **measured}

    def _pool_cards(self, numbers: Sequence[int]) -> dict[str, Calibration]:
        contents = [self._members.contents[number] for number in numbers]
        return {
            name: Calibration.pool(
                [c.calibrations[name] for c in contents if name in c.calibrations]
            )
            for name in self._members.spaces
        }

    def _with_media(self, space: str, numbers: Sequence[int]) -> Calibration:
        contents = self._members.contents
        owners = [number for number in numbers if space in contents[number].filled]
        if len(owners) < 2:
            return contents[owners[0]].calibrations[space] if owners else Calibration()
        counts = self._members.ask({n: lambda member: member.row_counts(space) for n in owners})
        statistics = self._pool_cards(numbers)[space].of_type(QueryType.TEXT)
        for medium in Medium:
            rows = {n: counts[n][medium] for n in owners if counts[n][medium]}
            if rows:
                best = self._best_scores(space, medium, rows)
                entry = ScoreStatistics.of(best, QueryType.MEDIA, medium)
                statistics += [] if entry is None else [entry]
        return Calibration(statistics)

    def _best_scores(
        self, space: str, medium: Medium, rows: Mapping[int, int]
    ) -> NDArray[np.float32]:
        """Return the best scores of sampled rows among other items of all members.

        Args:
            space: The space.
            medium: Medium of the rows.
            rows: Number of such rows, by number of the member.
        """
        positions = sample_positions(sum(rows.values()), MEDIA_QUERIES)
        starts = dict(zip(rows, accumulate(rows.values(), initial=0), strict=False))
        own = {}
        for number, start in starts.items():
            is_own = (positions >= start) & (positions < start + rows[number])
            own[number] = positions[is_own] - start

        def read(number: int, member: Member) -> MediaSamples:
            return member.media_samples(space, medium, own[number])

        samples = self._members.ask({n: partial(read, n) for n in rows if len(own[n])})
        vectors = np.concatenate([each.vectors for each in samples.values()])

        def search(number: int, member: Member) -> NDArray[np.float32]:
            ids = [
                each.item_ids if n == number else np.full(len(each.item_ids), -1)
                for n, each in samples.items()
            ]
            return member.best_of_others(space, medium, MediaSamples(np.concatenate(ids), vectors))

        found = self._members.ask({n: partial(search, n) for n in rows})
        best: NDArray[np.float32] = np.max(list(found.values()), axis=0)
        return best

    # ------------------------------------------------------------ texts

    def of_texts(self, own: Mapping[int, TextCalibration]) -> TextCalibration:
        """Return the calibration of the texts of some members.

        Args:
            own: Calibrations of the members, by number.
        """
        if len(own) == 1:
            return next(iter(own.values()))
        if not any(calibration.probes for calibration in own.values()):
            return TextCalibration()  # no member has an index of texts
        numbers = tuple(own)
        return self._of_texts.get(numbers, partial(self._measure_texts, numbers))

    def _measure_texts(self, numbers: Sequence[int]) -> TextCalibration:
        ask = self._members.ask
        counted = ask({n: lambda member: member.probe_statistics() for n in numbers})
        counts = {number: each for number, each in counted.items() if each is not None}
        pooled = [
            TextStatistics.pool(probe, TextCalibration())
            for probe in zip(*counts.values(), strict=True)
        ]
        coverages = ask({n: lambda member: member.probe_coverages(pooled) for n in counts})
        return TextCalibration.of([max(probe) for probe in zip(*coverages.values(), strict=True)])
