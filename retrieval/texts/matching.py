"""Finds the items whose texts contain the words of a query.

The parts of an index return passages. These are scored again with the statistics of all parts, so
that texts newer than the index rank as if they were indexed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.texts.calibration import TextCalibration
from retrieval.texts.common_words import common_words
from retrieval.texts.groups import JOIN_SECONDS, Passage, TextGroup, group_by_item
from retrieval.texts.scoring import TermScores
from retrieval.texts.statistics import TextStatistics
from retrieval.texts.term_counts import count_terms
from retrieval.texts.text_index import TextIndex
from retrieval.texts.tokenizer import Tokenizer
from retrieval.texts.word_query import MAX_CHARS, WordQuery

MAX_TERMS = 256
"""Number of terms that a query is scored by; the first ones count."""

MIN_ROWS = 100
"""Least number of passages that are fetched and scored."""

FETCH_FACTOR = 8
"""Factor by which more passages are fetched while too few items pass a filter."""

MAX_DIRECT_ROWS = 5_000
"""Passages of selected items up to this number are all scored, without asking the index."""

MAX_ITEM_ROWS = 16
"""Items with more passages are matched by the best passages of the index alone."""

MAX_FURTHER_ROWS = 250
"""Number of passages of further items, which vectors found, that are scored."""

MAX_COMMON_SHARE, MAX_COMMON_PASSAGES = 0.1, 10_000
"""Terms of more passages than both only score the passages that rarer terms find."""

ItemMask = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""Returns which of some item ids are selected."""

ItemGroups = dict[int, list[TextGroup]]
"""The groups of matching passages by item; the best item and the best group come first."""


class TextMatcher:
    """Matches the words of queries against the parts of an index.

    Args:
        parts: The parts, each with the items whose texts it holds; an item is in one part.
        tokenizer: Tokenizer of all parts.
        calibration: Calibration of the index.
        outdated: The passages of the parts that no item has any more; they count in no statistic.
    """

    def __init__(
        self,
        parts: Sequence[tuple[TextIndex, ItemMask]],
        tokenizer: Tokenizer,
        calibration: TextCalibration,
        outdated: TextIndex | None = None,
    ) -> None:
        self.parts = parts
        self.tokenizer = tokenizer
        self.calibration = calibration
        self._outdated = outdated
        self._passages = sum(len(part) for part, _ in parts)
        self._length = sum(part.total_length for part, _ in parts)
        if outdated is not None:
            self._passages -= len(outdated)
            self._length -= outdated.total_length

    def terms(self, query: WordQuery, *, keep_unlikely: bool = False) -> list[str]:
        """Return the terms that a query is scored by.

        Args:
            query: The query.
            keep_unlikely: Return common words if there are no others.
        """
        words = query.words[:MAX_CHARS]
        terms = list(dict.fromkeys(self.tokenizer.query_terms(words)))[:MAX_TERMS]
        common = {
            term
            for word in common_words(words, self.tokenizer.language)
            for term in self.tokenizer.query_terms(word)
        }
        specific = [term for term in terms if term not in common]
        return terms if not specific and keep_unlikely else specific

    def statistics(self, terms: Iterable[str]) -> TextStatistics:
        """Count the passages, and those with each of some terms."""
        frequencies = {term: self._frequency(term) for term in terms}
        return TextStatistics(frequencies, self._passages, self._length, self.calibration)

    def query(
        self, terms: Iterable[str], statistics: TextStatistics, *, keep_unlikely: bool = False
    ) -> QueryMatcher:
        """Prepare the search for one query.

        Args:
            terms: The terms of the query.
            statistics: Counts of the terms, those of further collections included.
            keep_unlikely: Return every match; else only texts that are likely answers.
        """
        return QueryMatcher(
            self, statistics.scores(terms), statistics.calibration, keep_unlikely=keep_unlikely
        )

    def _frequency(self, term: str) -> int:
        total = sum(part.frequency(term) for part, _ in self.parts)
        return total if self._outdated is None else total - self._outdated.frequency(term)

    def items_with(self, phrase: str) -> NDArray[np.int64] | None:
        """Return the sorted ids of items with a phrase in a text; None for one without a word."""
        terms = self.tokenizer.terms(phrase[:MAX_CHARS])
        if not terms:
            return None
        found = [np.empty(0, np.int64)]
        for part, holds in self.parts:
            ids = np.unique(part.rows.item_ids[part.phrase_rows(terms)])
            found.append(ids[holds(ids)])
        return np.unique(np.concatenate(found))


class QueryMatcher:
    """Finds the matching texts of one query."""

    def __init__(
        self,
        texts: TextMatcher,
        scores: TermScores,
        calibration: TextCalibration,
        *,
        keep_unlikely: bool,
    ) -> None:
        self._texts = texts
        self._scores = scores
        self._calibration = calibration
        self._keep_unlikely = keep_unlikely

    def find(
        self, limit: int, allowed: ItemMask, selected: NDArray[np.int64] | None = None
    ) -> ItemGroups:
        """Find the items whose texts match best.

        Args:
            limit: Number of items.
            allowed: Items that may be returned.
            selected: Their sorted ids, if they are few.
        """
        possible = self._calibration.likely(self._scores.max_coverage())
        if limit < 1 or not (possible or self._keep_unlikely):
            return {}
        groups = self._grouped(self._find(limit, allowed, selected))
        ranked = sorted(groups, key=lambda item_id: (-groups[item_id][0].score, item_id))
        return {item_id: groups[item_id] for item_id in ranked[:limit]}

    def best_coverage(self) -> float:
        """Return the best coverage of any item; 0 without a match."""
        passages = self._find(1, lambda ids: np.ones(len(ids), bool), None)
        groups = group_by_item(passages, self._scores, self._calibration)
        return max((group.coverage for each in groups.values() for group in each), default=0.0)

    def find_in(self, item_ids: Iterable[int]) -> ItemGroups:
        """Match the texts of some items, the best first.

        Items with many passages are left out, and so are the last ones of many items.
        """
        ids = np.fromiter(item_ids, np.int64)
        passages: list[Passage] = []
        for number, (part, holds) in enumerate(self._texts.parts):
            first, last = part.rows.of_items(ids[holds(ids)])
            counts = last - first
            few = counts <= MAX_ITEM_ROWS
            few &= np.cumsum(np.where(few, counts, 0)) <= MAX_FURTHER_ROWS
            passages += self._score(number, _ranges(first[few], last[few]))
        return self._grouped(passages)

    def complete(self, groups: ItemGroups) -> ItemGroups:
        """Add the matching cues next to those found, whose number is limited, to each item."""
        passages: dict[tuple[int, int], Passage] = {
            (passage.part, passage.number): passage
            for item_groups in groups.values()
            for group in item_groups
            for passage in group.passages
        }
        for passage in list(passages.values()):
            if passage.is_timed:
                for step in (-1, 1):
                    for neighbour in self._neighbours(passage, step):
                        key = (neighbour.part, neighbour.number)
                        if key in passages:
                            break
                        passages[key] = neighbour
        return self._grouped(passages.values())

    def _find(
        self, limit: int, allowed: ItemMask, selected: NDArray[np.int64] | None
    ) -> list[Passage]:
        passages: list[Passage] = []
        if not any(self._scores.frequencies.values()):
            return passages
        for number, (part, holds) in enumerate(self._texts.parts):
            rows = self._candidates(part, limit, _both(holds, allowed), selected)
            passages += self._score(number, rows)
        return passages

    def _grouped(self, passages: Iterable[Passage]) -> ItemGroups:
        """Group passages; keep the groups that count."""
        groups = group_by_item(passages, self._scores, self._calibration)
        if self._keep_unlikely:
            return groups
        likely = {item: [group for group in each if group.likely] for item, each in groups.items()}
        return {item: each for item, each in likely.items() if each}

    def _candidates(
        self,
        part: TextIndex,
        limit: int,
        allowed: ItemMask,
        selected: NDArray[np.int64] | None,
    ) -> NDArray[np.int64]:
        """Return rows of allowed items, those that can match best first."""
        item_ids = part.rows.item_ids
        if selected is not None:
            first, last = part.rows.of_items(selected)
            if (last - first).sum() <= MAX_DIRECT_ROWS:
                rows = _ranges(first, last)
                return rows[allowed(item_ids[rows])]
        terms = self._scores.rare_terms(MAX_COMMON_SHARE, MAX_COMMON_PASSAGES)
        size = fetch = max(MIN_ROWS, 2 * limit)
        while True:
            rows = part.best_rows(terms, fetch)
            kept = rows[allowed(item_ids[rows])]
            if len(rows) < fetch:
                return kept if len(kept) <= size else self._first_of_items(kept, item_ids, size)
            if len(np.unique(item_ids[kept])) >= limit:
                return self._first_of_items(kept, item_ids, size)
            fetch *= FETCH_FACTOR

    @staticmethod
    def _first_of_items(
        rows: NDArray[np.int64], item_ids: NDArray[np.int64], size: int
    ) -> NDArray[np.int64]:
        """Keep the first `size` rows, and the first row of every item."""
        firsts = np.unique(item_ids[rows], return_index=True)[1]
        positions = np.union1d(firsts[np.argsort(firsts)][:size], np.arange(min(size, len(rows))))
        return rows[positions]

    def _score(self, part: int, numbers: NDArray[np.int64]) -> list[Passage]:
        """Score rows of a part; those without a term are left out."""
        rows = self._texts.parts[part][0].rows
        texts = rows.encoded_texts(numbers)
        counts = count_terms(texts, self._scores.frequencies, self._texts.tokenizer)
        passages = []
        for number, text, found in zip(numbers.tolist(), texts, counts, strict=True):
            if found:
                row = rows.row_of_text(number, text.decode())
                bm25 = self._scores.bm25(found, row.length)
                passages.append(Passage(part, number, row, frozenset(found), bm25))
        return passages

    def _neighbours(self, passage: Passage, step: int) -> Iterator[Passage]:
        """Yield the matching cues before (-1) or after (1) a cue, each within `JOIN_SECONDS`."""
        rows = self._texts.parts[passage.part][0].rows
        while 0 <= passage.number + step < len(rows):
            found = self._score(passage.part, np.array([passage.number + step]))
            if not found:
                return
            row = found[0].row
            near, far = (passage.row, row) if step > 0 else (row, passage.row)
            same = (row.item_id, row.source) == (passage.row.item_id, passage.row.source)
            # A comparison with NaN is false: texts without times end the moment.
            if not same or not far.start_seconds - near.end_seconds <= JOIN_SECONDS:
                return
            passage = found[0]
            yield passage


def _both(first: ItemMask, second: ItemMask) -> ItemMask:
    return lambda ids: first(ids) & second(ids)


def _ranges(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Concatenate the ranges of rows, last ones excluded."""
    counts = last - first
    starts = np.repeat(first - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    return np.asarray(starts + np.arange(counts.sum()), np.int64)
