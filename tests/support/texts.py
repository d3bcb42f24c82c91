"""Small collections of items with texts and toy vectors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from retrieval.collection import Collection
from retrieval.store.writer import CollectionWriter
from retrieval.types import TextSource, TimedText
from support.indexed_toys import ENCODER, PICTURES, SOUND, item


class TextCollection(Collection):
    """A collection whose space of pictures is embedded by the toy encoder."""

    def encoder(self, space):  # type: ignore[no-untyped-def]
        return ENCODER


def name(text: str) -> TimedText:
    return TimedText(TextSource.NAME, text)


def caption(text: str) -> TimedText:
    return TimedText(TextSource.CAPTION, text)


def cue(start: float, end: float, text: str) -> TimedText:
    return TimedText(TextSource.TRANSCRIPT, text, start, end)


def collection_of(root: Path, *items: Iterable[TimedText]) -> TextCollection:
    """A collection, without an index, of items with texts; even numbers are pictures."""
    with CollectionWriter.open(root, create=True) as writer:
        first = 0
        if writer.snapshot is None:
            writer.add_space(PICTURES)
            writer.add_space(SOUND)
        else:
            first = writer.manifest.next_item_id
        for number, texts in enumerate(items, first):
            toy = item(number)
            writer.add(replace(toy, info=replace(toy.info, texts=tuple(texts))))
    return TextCollection(root, device="cpu")


def bm25(documents: Mapping[object, Sequence[str]], terms: Iterable[str]) -> dict[object, float]:
    """The BM25 score of every document that contains a term, with k1 = 1.2 and b = 0.75."""
    mean = sum(map(len, documents.values())) / len(documents)
    scores: dict[object, float] = {}
    for term in set(terms):
        having = [key for key, words in documents.items() if term in words]
        weight = math.log(1 + (len(documents) - len(having) + 0.5) / (len(having) + 0.5))
        for key in having:
            count = documents[key].count(term)
            norm = 1.2 * (0.25 + 0.75 * len(documents[key]) / mean)
            scores[key] = scores.get(key, 0.0) + weight * count * 2.2 / (count + norm)
    return scores
