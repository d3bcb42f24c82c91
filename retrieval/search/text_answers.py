"""The texts that match one query, over all members."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from retrieval.search.hits import with_values
from retrieval.texts.excerpts import text_match
from retrieval.texts.groups import TextGroup
from retrieval.texts.matching import ItemGroups
from retrieval.texts.tokenizer import Tokenizer
from retrieval.texts.word_query import MAX_CHARS, WordQuery
from retrieval.types import Hit


@dataclass(frozen=True, slots=True)
class MarkedTerms:
    """The terms that excerpts mark, and the tokenizer that finds them in a text."""

    terms: AbstractSet[str]
    tokenizer: Tokenizer

    @classmethod
    def of(cls, words: WordQuery, terms: Iterable[str], tokenizer: Tokenizer) -> MarkedTerms:
        """Add the terms of the phrases of a query to the terms that score it."""
        marked = set(terms)
        for phrase in words.phrases:
            marked.update(tokenizer.query_terms(phrase[:MAX_CHARS]))
        return cls(marked, tokenizer)


class TextAnswers:
    """The matching texts of one query, and their descriptions.

    Attributes:
        groups: Matching texts by item; the best text of each item comes first.

    Args:
        groups: The attribute.
        marks: The marked terms of each member.
        member_of: Returns the number of an item's member.
    """

    def __init__(
        self,
        groups: ItemGroups,
        marks: Mapping[int, MarkedTerms],
        member_of: Callable[[int], int],
    ) -> None:
        self.groups = groups
        self._marks = marks
        self._member_of = member_of

    def describe(self, hit: Hit, group: TextGroup) -> Hit:
        """Set the matching text of a hit."""
        marked = self._marks[self._member_of(hit.item_id)]
        matched = text_match(group.best, marked.terms, marked.tokenizer)
        return with_values(hit, text_score=group.best.bm25, matched=matched)

    def describe_all(self, hits: Sequence[Hit]) -> list[Hit]:
        """Set the matching text of all hits whose item has one."""
        return [
            self.describe(hit, self.groups[hit.item_id][0]) if hit.item_id in self.groups else hit
            for hit in hits
        ]
