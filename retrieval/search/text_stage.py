"""Matches the words of text queries with the texts of items."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from indexes.forking import ForkSafeLock
from retrieval.errors import CollectionFormatError, IndexFileError, QueryError, StorageError
from retrieval.search.arguments import item_ids_of
from retrieval.search.items import ItemTable
from retrieval.search.options import SearchOptions
from retrieval.search.query import Query
from retrieval.search.vector_query import VectorQuery
from retrieval.store.reader import Snapshot
from retrieval.targets import TextMode
from retrieval.texts.excerpts import text_match
from retrieval.texts.groups import TextGroup
from retrieval.texts.matching import ItemGroups, QueryMatcher, TextMatcher
from retrieval.texts.opening import open_texts
from retrieval.texts.word_query import MAX_CHARS, WordQuery
from retrieval.types import Hit

logger = logging.getLogger(__name__)

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

    def start(self, query: Query | VectorQuery, mode: TextMode) -> TextSearch | None:
        """Start the text search of a query; None if only vectors are searched.

        Raises:
            QueryError: Only words are requested, and the query is not a text.
            IndexFileError, CollectionFormatError, StorageError: Only words are requested, and the
                index of texts cannot be used.
        """
        if mode is TextMode.OFF:
            return None
        words = None if isinstance(query, VectorQuery) else query.words
        if words is None:
            if mode is TextMode.ONLY:
                raise QueryError(f"words are found by a single text, got {query}")
            return None
        matcher = self._open(mode)
        if matcher is None and mode is TextMode.AUTO:
            return None
        return TextSearch(words, matcher, self, mode)

    def _open(self, mode: TextMode) -> TextMatcher | None:
        with self._lock:
            if not self._is_open:
                try:
                    self._matcher = open_texts(self._snapshot)
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


class TextSearch:
    """The words of one query, and the texts that match.

    Attributes:
        words: The words.
        groups: Matching texts by item; the best item and its best text come first.

    Args:
        words: The words.
        matcher: The texts; None if there are none.
        stage: Opened the texts.
        mode: `auto` or `only`.
    """

    def __init__(
        self, words: WordQuery, matcher: TextMatcher | None, stage: TextStage, mode: TextMode
    ) -> None:
        self.words = words
        self.groups: ItemGroups = {}
        self._matcher = matcher
        self._stage = stage
        self._items = stage.items
        self._mode = mode
        self._query: QueryMatcher | None = None
        self._is_allowed = np.zeros(0, bool)

    def restrict(self, options: SearchOptions) -> SearchOptions:
        """Restrict the items of all stages to those with the phrases and without excluded words."""
        if self._matcher is None or not self.words.restricts_vectors:
            return options
        ids = self._items.item_ids if options.ids is None else item_ids_of(options.ids)
        try:
            return replace(options, ids=ids[self._fulfils(ids)])
        except IndexFileError as error:
            self._give_up(error)
            return options

    def query_of_vectors(self, query: Query | VectorQuery) -> Query | VectorQuery:
        """Return what models embed: the words without operators."""
        if self._matcher is None or not self.words.restricts_vectors:
            return query
        return Query.of_text(self.words.words)

    def find(self, limit: int, is_allowed: NDArray[np.bool_]) -> None:
        """Find the items whose texts match best.

        Args:
            limit: Number of items.
            is_allowed: (items,) bool, in id order.
        """
        if self._matcher is None:
            return
        try:
            self._find(self._matcher, limit, is_allowed)
        except IndexFileError as error:
            self._give_up(error)

    def _find(self, matcher: TextMatcher, limit: int, is_allowed: NDArray[np.bool_]) -> None:
        if not self.words.restricts_vectors and self.words.phrases:
            is_allowed = is_allowed & self._fulfils(self._items.item_ids)
        self._is_allowed = is_allowed
        self._query = matcher.match(self.words, keep_unlikely=self._mode is TextMode.ONLY)
        count = int(np.count_nonzero(is_allowed))
        selected = self._items.item_ids[is_allowed] if count <= MAX_SELECTED else None
        self.groups = self._query.find(limit, self._allows, selected)

    def _give_up(self, error: IndexFileError) -> None:
        self._matcher = None
        self._stage.give_up(error, self._mode)

    def find_in(self, item_ids: Iterable[int]) -> None:
        """Match the texts of further items, which vectors found, the best first."""
        if self._query is None:
            return
        others = np.array([id_ for id_ in item_ids if id_ not in self.groups], np.int64)
        self.groups |= self._query.find_in(others[self._allows(others)].tolist())

    def complete_moments(self) -> None:
        """Extend the moments of the found items to all neighbouring cues that match."""
        if self._query is not None:
            self.groups = self._query.complete(self.groups)

    def describe(self, hit: Hit, group: TextGroup) -> Hit:
        """Set the matching text of a hit."""
        assert self._matcher is not None
        assert self._query is not None
        terms = set(self._query.terms)
        for phrase in self.words.phrases:
            terms.update(self._matcher.tokenizer.query_terms(phrase[:MAX_CHARS]))
        matched = text_match(group.best, terms, self._matcher.tokenizer)
        return replace(hit, text_score=group.best.bm25, matched=matched)

    def describe_all(self, hits: Sequence[Hit]) -> list[Hit]:
        """Set the matching text of all hits whose item has one."""
        return [
            self.describe(hit, self.groups[hit.item_id][0]) if hit.item_id in self.groups else hit
            for hit in hits
        ]

    def _allows(self, item_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        return self._items.spread(self._is_allowed, item_ids, np.False_)

    def _fulfils(self, item_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which items contain all phrases and no excluded word, (n,) bool."""
        assert self._matcher is not None
        fulfils = np.ones(len(item_ids), bool)
        for phrase in self.words.phrases:
            ids = self._matcher.items_with(phrase)
            if ids is not None:
                fulfils &= np.isin(item_ids, ids)
        for word in self.words.excluded:
            ids = self._matcher.items_with(word)
            if ids is not None:
                fulfils &= ~np.isin(item_ids, ids)
        return fulfils
