"""Matches the words of text queries with the texts of one member."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from indexes.forking import ForkSafeLock
from retrieval.errors import CollectionFormatError, IndexFileError, StorageError
from retrieval.search.arguments import item_ids_of
from retrieval.search.items import ItemTable
from retrieval.search.options import SearchOptions
from retrieval.store.reader import Snapshot
from retrieval.targets import TextMode
from retrieval.texts.calibration import TextCalibration
from retrieval.texts.matching import ItemGroups, QueryMatcher, TextMatcher
from retrieval.texts.opening import open_texts
from retrieval.texts.statistics import TextStatistics
from retrieval.texts.tokenizer import Tokenizer
from retrieval.texts.word_query import WordQuery

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

MAX_SELECTED = 5_000
"""Selected items up to this number are matched one by one, without asking the index."""


class TextStage:
    """Opens the texts of a snapshot at the first text query.

    Args:
        snapshot: The generation.
        items: Its items.
    """

    def __init__(self, snapshot: Snapshot, items: ItemTable) -> None:
        self._snapshot = snapshot
        self.items = items
        self._lock = ForkSafeLock()
        self._matcher: TextMatcher | None = None
        self._error: Exception | None = None
        self._is_open = False

    def start(self, words: WordQuery, mode: TextMode) -> TextSearch:
        """Start the text search of a query.

        Raises:
            IndexFileError, CollectionFormatError, StorageError: Only words are requested, and the
                index of texts cannot be used.
        """
        return TextSearch(words, self.open(mode), self, mode)

    def open(self, mode: TextMode) -> TextMatcher | None:
        """Return the texts, which may be none; None if the index cannot be used.

        Raises:
            IndexFileError, CollectionFormatError, StorageError: Only words are requested, and the
                index of texts cannot be used.
        """
        with self._lock:
            if not self._is_open:
                try:
                    self._matcher = open_texts(self._snapshot) or _no_texts()
                except (IndexFileError, CollectionFormatError, StorageError) as error:
                    self._fail(error, mode)
                self._is_open = True
        if self._error is not None and mode is TextMode.ONLY:
            raise self._error
        return self._matcher

    def _fail(self, error: Exception, mode: TextMode) -> None:
        self._error, self._matcher = error, None
        if mode is TextMode.AUTO:
            logger.warning("words are not searched: %s", error)

    def give_up(self, error: Exception, mode: TextMode) -> None:
        """Search no words from now on, because the index proved damaged.

        Raises:
            IndexFileError: Only words are requested.
        """
        with self._lock:
            if self._error is None:
                self._fail(error, mode)
        if mode is TextMode.ONLY:
            raise error


def _no_texts() -> TextMatcher:
    return TextMatcher([], Tokenizer(), TextCalibration())


class TextSearch:
    """The words of one query, and the texts of one member.

    Args:
        words: The words.
        matcher: The texts; None if they cannot be used.
        stage: Opened the texts.
        mode: `auto` or `only`.
    """

    def __init__(
        self, words: WordQuery, matcher: TextMatcher | None, stage: TextStage, mode: TextMode
    ) -> None:
        self._words = words
        self._matcher = matcher
        self._stage = stage
        self._items = stage.items
        self._mode = mode
        self._terms: list[str] = []
        self._query: tuple[TextStatistics, QueryMatcher] | None = None
        self._is_allowed = np.zeros(0, bool)

    @property
    def is_usable(self) -> bool:
        """Whether the texts can be used; damage shows only when they are read."""
        return self._matcher is not None

    @property
    def language(self) -> str | None:
        """ISO 639-1 code of the stemmer of the texts."""
        return None if self._matcher is None else self._matcher.tokenizer.language

    def statistics(self) -> TextStatistics | None:
        """Count the texts for the terms of the query; None if they cannot be used."""

        def count(matcher: TextMatcher) -> TextStatistics:
            self._terms = matcher.terms(self._words, keep_unlikely=self._mode is TextMode.ONLY)
            return matcher.statistics(self._terms)

        return self._attempt(count)

    def restrict(self, options: SearchOptions) -> SearchOptions:
        """Restrict the items of all stages to those with the phrases and without excluded words."""
        if not self._words.restricts_vectors:
            return options
        ids = self._items.item_ids if options.ids is None else item_ids_of(options.ids)
        fulfils = self._attempt(lambda matcher: self._fulfils(matcher, ids))
        return options if fulfils is None else replace(options, ids=ids[fulfils])

    def allow(self, is_allowed: NDArray[np.bool_]) -> None:
        """Set the items that may be found.

        Args:
            is_allowed: (items,) bool, in id order.
        """
        if not self._words.restricts_vectors and self._words.phrases:
            fulfils = self._attempt(lambda matcher: self._fulfils(matcher, self._items.item_ids))
            is_allowed = is_allowed if fulfils is None else is_allowed & fulfils
        self._is_allowed = is_allowed

    def find(self, statistics: TextStatistics, limit: int) -> ItemGroups:
        """Find the items whose texts match best.

        Args:
            statistics: Counts of the terms in all members.
            limit: Number of items.
        """
        count = int(np.count_nonzero(self._is_allowed))
        selected = self._items.item_ids[self._is_allowed] if count <= MAX_SELECTED else None
        return self._groups(statistics, lambda query: query.find(limit, self._allows, selected))

    def find_in(self, statistics: TextStatistics, item_ids: Iterable[int]) -> ItemGroups:
        """Match the texts of some items, the best first."""
        ids = np.fromiter(item_ids, np.int64)
        allowed = ids[self._allows(ids)].tolist()
        return self._groups(statistics, lambda query: query.find_in(allowed))

    def complete(self, statistics: TextStatistics, groups: ItemGroups) -> ItemGroups:
        """Extend the moments of items to all neighbouring cues that match."""
        return self._groups(statistics, lambda query: query.complete(groups))

    def _groups(
        self, statistics: TextStatistics, find: Callable[[QueryMatcher], ItemGroups]
    ) -> ItemGroups:
        found = self._attempt(lambda matcher: find(self._query_of(matcher, statistics)))
        return found or {}

    def _query_of(self, matcher: TextMatcher, statistics: TextStatistics) -> QueryMatcher:
        """Return the query for some counts; calls with the same counts share it."""
        if self._query is None or self._query[0] is not statistics:
            keep_unlikely = self._mode is TextMode.ONLY
            query = matcher.query(self._terms, statistics, keep_unlikely=keep_unlikely)
            self._query = statistics, query
        return self._query[1]

    def _attempt(self, call: Callable[[TextMatcher], Result]) -> Result | None:
        """Use the texts; None if they cannot be used, and no more words are searched."""
        if self._matcher is None:
            return None
        try:
            return call(self._matcher)
        except IndexFileError as error:
            self._matcher = None
            self._stage.give_up(error, self._mode)
            return None

    def _allows(self, item_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        return self._items.spread(self._is_allowed, item_ids, np.False_)

    def _fulfils(self, matcher: TextMatcher, item_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which items contain all phrases and no excluded word, (n,) bool."""
        fulfils = np.ones(len(item_ids), bool)
        for phrase in self._words.phrases:
            ids = matcher.items_with(phrase)
            if ids is not None:
                fulfils &= np.isin(item_ids, ids)
        for word in self._words.excluded:
            ids = matcher.items_with(word)
            if ids is not None:
                fulfils &= ~np.isin(item_ids, ids)
        return fulfils
