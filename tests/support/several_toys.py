"""The same toy items in one collection and in several, with texts, columns and two spaces."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from retrieval.collection import Collection
from retrieval.collection_group import CollectionGroup
from retrieval.search.query import Query
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, Frames, MediaInfo, Medium, Segments, TimedText
from support.indexed_toys import ENCODER, PICTURES, SOUND, segments, unit
from support.texts import caption, cue
from support.toy_encoder import ToyEncoder

MUSIC = ToyEncoder.music()
WORDS = [f"wort{number}" for number in range(25)]
RANGES = ((0, 23), (23, 24), (24, 61), (61, 90))
"""Numbers of the items of each collection."""

REMOVED = (5, 30, 70)
"""Numbers of removed items."""


class Toys(Collection):
    """A collection that loads its toy encoders by the name of the space."""

    def encoder(self, space):  # type: ignore[no-untyped-def]
        return MUSIC if space.name == SOUND.name else ENCODER


def item(number: int) -> EmbeddedItem:
    """Every third item is a picture, a video with sound, or a recording; the latter have cues."""
    medium = (Medium.IMAGE, Medium.VIDEO, Medium.AUDIO)[number % 3]
    rng = random.Random(number)
    texts: list[TimedText] = []
    if number % 4:
        texts.append(caption(" ".join(rng.choices(WORDS, k=rng.randint(2, 9)))))
    if medium is not Medium.IMAGE and number % 2:
        texts += [cue(2 * n, 2 * n + 1.5, " ".join(rng.choices(WORDS, k=4))) for n in range(5)]
    rows = 1 if medium is Medium.IMAGE else 5
    pictures = segments(medium, 0 if medium is Medium.AUDIO else rows, number)
    sound = segments(Medium.AUDIO, 0 if medium is Medium.IMAGE else rows, 1000 + number)
    frames = {PICTURES.name: Frames(np.arange(10) / np.float32(1), unit(10, number))}
    info = MediaInfo(
        f"/media/{number}", medium, 1, 0.0, f"{number:064x}",
        columns={"number": number, "place": rng.choice(["sea", "hill", "town"])},
        texts=tuple(texts),
    )  # fmt: skip
    vectors: dict[str, Segments] = {PICTURES.name: pictures, SOUND.name: sound}
    return EmbeddedItem(info, vectors, frames if medium is Medium.VIDEO else {})


def toys_of(root: Path, numbers: Iterable[int], *, indexed: bool = True) -> Toys:
    """Write items to a new collection, remove some of them, and index the others."""
    numbers = list(numbers)
    with CollectionWriter.open(root, create=True) as writer:
        writer.add_space(PICTURES)
        writer.add_space(SOUND)
        for number in numbers:
            writer.add(item(number))
    with CollectionWriter.open(root) as writer:
        writer.remove([numbers.index(number) for number in REMOVED if number in numbers])
    collection = Toys(root, device="cpu")
    if indexed:
        collection.index()
    return collection


def one_and_several(folder: Path, *, indexed: bool) -> tuple[Toys, CollectionGroup]:
    """Return a collection of all items, and a group of collections with the same items."""
    one = toys_of(folder / "all", range(RANGES[-1][1]), indexed=indexed)
    several = [
        toys_of(folder / f"part{number}", range(*bounds), indexed=indexed)
        for number, bounds in enumerate(RANGES)
    ]
    return one, group_of(*several)


def group_of(*collections: Collection) -> CollectionGroup:
    """Return a group of collections that are named by their paths."""
    return CollectionGroup({str(each.root): each for each in collections}, device="cpu")


def like(group: CollectionGroup, number: int) -> Query:
    """Return the query for the item of a number in the group."""
    for name, (first, last) in zip(group.collections, RANGES, strict=True):
        if first <= number < last:
            return Query.like(number - first, name)
    raise LookupError(number)
