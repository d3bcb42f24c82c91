"""`classify`: zero-shot labels, the way CLIP (2103.00020) names a picture it was not trained for.

Every label is put into several sentences; their vectors, averaged and scaled to unit length again,
stand for it. An item gets the labels whose vectors lie nearest to its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retrieval.embedding.assembly import Assembler
from retrieval.embedding.options import FAILURES_KEPT, EmbedOptions, Spaces, open_spaces
from retrieval.encoders.pooling import unit_rows
from retrieval.encoders.spaces import decode_plan
from retrieval.errors import DamagedMediaError, InvalidVectorError, QueryError, SourceError
from retrieval.media.decode import NO_ENCODER
from retrieval.media.sources.find import find_sources
from retrieval.media.sources.listing import Listing
from retrieval.media.workers.pool import decode_all
from retrieval.protocols import Encoder, Tempered
from retrieval.types import EmbeddedItem, Failure, ItemUnchanged, MediaInfo, Medium
from retrieval.wording import shortened
from retrieval.zero_shot.prompts import TEMPLATES, filled

LOGIT_SCALE = 100.0
"""What inner products are multiplied with where a model says nothing: the end of CLIP's range."""

LABELS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Guess:
    """One label of one item: its probability among all labels, and its inner product."""

    label: str
    probability: float
    score: float


@dataclass(frozen=True, slots=True)
class Classified:
    """An item and its best labels.

    Attributes:
        medium: What was looked at or listened to: a video's sound where no model sees it.
        guesses: Best first.
        truth: The label that the item's list gives it, where one was asked for.
    """

    uri: str
    modality: Medium
    medium: Medium
    guesses: tuple[Guess, ...]
    truth: str | None = None


@dataclass(slots=True)
class ClassifyReport:
    """What a run did, counted as it goes."""

    classified: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    without_encoder: int = 0
    judged: int = 0
    right: int = 0
    right_among_guesses: int = 0

    @property
    def seen(self) -> int:
        """Items looked at so far, whatever became of them."""
        return self.classified + self.failed + self.without_encoder

    @property
    def accuracy(self) -> float | None:
        """Share of the items with a known label whose first guess is it; None without any."""
        return self.right / self.judged if self.judged else None

    @property
    def accuracy_in_k(self) -> float | None:
        """Share of them that have it among their guesses."""
        return self.right_among_guesses / self.judged if self.judged else None

    def count(self, result: Classified | Failure) -> None:
        """Take one more result into account."""
        if isinstance(result, Failure):
            if result.stage == NO_ENCODER:
                self.without_encoder += 1
                return
            self.failed += 1
            if len(self.failures) < FAILURES_KEPT:
                self.failures.append(result)
            return
        self.classified += 1
        if result.truth is not None:
            labels = [guess.label for guess in result.guesses]
            self.judged += 1
            self.right += labels[0] == result.truth
            self.right_among_guesses += result.truth in labels


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Labels in one space: (labels, dim) float32 unit vectors, and the softmax's factor."""

    labels: tuple[str, ...]
    vectors: NDArray[np.float32]
    logit_scale: float

    def best(self, vector: NDArray[np.float32], k: int) -> tuple[Guess, ...]:
        """The k labels nearest to a unit vector (dim,), with their softmax over all labels."""
        scores = (self.vectors @ vector).astype(np.float64)
        logits = self.logit_scale * (scores - scores.max())
        chances = np.exp(logits) / np.exp(logits).sum()
        order = np.argsort(-scores, kind="stable")[:k].tolist()
        return tuple(Guess(self.labels[i], float(chances[i]), float(scores[i])) for i in order)


def classify(
    sources: Sequence[str | os.PathLike[str]],
    labels: Sequence[str],
    options: EmbedOptions | None = None,
    *,
    templates: Mapping[Medium, Sequence[str]] = TEMPLATES,
    k: int = 5,
    truth: str | None = None,
) -> Iterator[Classified | Failure]:
    """Give every item of some sources its best labels, one item after the other.

    A recording or video is judged by the mean of its segments' vectors. Of several models the first
    that embeds an item's kind judges it; a video that none sees is judged by its sound.

    Args:
        sources: As `embed` takes them.
        labels: At least two.
        options: Models and decoding, as for `embed`.
        templates: Sentences with `{}`, by what is looked at or listened to.
        k: Labels to give.
        truth: Column of the lists that holds an item's true label.

    Raises:
        QueryError: k is not positive.
        SourceError: A source cannot be read, or a true label is missing or none of the labels.
        DamagedMediaError: With `strict`, the first file that cannot be used.
    """
    if k < 1:
        raise QueryError(f"-k must be at least 1, got {k}")
    options = options or EmbedOptions()
    spaces = open_spaces(None, options)
    judges = _judges(spaces, labels, templates)
    for result in _embedded(sources, spaces, options):
        if isinstance(result, EmbeddedItem):
            yield _judged(result, judges, labels, k, truth)
            continue
        if options.strict and result.stage != NO_ENCODER:
            raise DamagedMediaError(f"{result.uri}: {result.reason}; drop --strict to skip it")
        yield result


def embed_labels(encoder: Encoder, labels: Sequence[str], templates: Sequence[str]) -> LabelSet:
    """Embed each label in all sentences, average them, and scale to unit length again."""
    blocks = []
    for first in range(0, len(labels), LABELS_AT_ONCE):
        block = labels[first : first + LABELS_AT_ONCE]
        texts = [text for label in block for text in filled(templates, label)]
        vectors = encoder.encode_text(texts)
        means = vectors.reshape(len(block), len(templates), -1).mean(axis=1, dtype=np.float64)
        blocks.append(unit_rows(means, f"{encoder.spec}: mean of a label's sentences"))
    scale = encoder.logit_scale if isinstance(encoder, Tempered) else LOGIT_SCALE
    return LabelSet(tuple(labels), np.concatenate(blocks), scale)


# ---------------------------------------------------------------- who judges what


@dataclass(frozen=True, slots=True)
class _Judge:
    """The space, the medium and the labels by which items of one modality are judged."""

    space: str
    medium: Medium
    labels: LabelSet


def _judges(
    spaces: Spaces, labels: Sequence[str], templates: Mapping[Medium, Sequence[str]]
) -> dict[Medium, _Judge]:
    judges: dict[Medium, _Judge] = {}
    for name, (space, encoder) in spaces.items():
        for medium in space.media:
            if medium not in judges:
                known = embed_labels(encoder, labels, templates[medium])
                judges[medium] = _Judge(name, medium, known)
    if Medium.VIDEO not in judges and Medium.AUDIO in judges:
        judges[Medium.VIDEO] = judges[Medium.AUDIO]
    return judges


def _judged(
    item: EmbeddedItem,
    judges: Mapping[Medium, _Judge],
    labels: Sequence[str],
    k: int,
    truth: str | None,
) -> Classified | Failure:
    info = item.info
    judge = judges[info.modality]
    segments = item.segments[judge.space]
    rows = segments.vectors[[medium is judge.medium for medium in segments.media]]
    if not len(rows):
        reason = f"a {info.modality} without {judge.medium}; a further --model may judge it"
        return Failure(info.uri, "decode", reason, info.bytes, info.mtime)
    try:
        mean = unit_rows(rows.mean(axis=0, keepdims=True), "mean of an item's segments")[0]
    except InvalidVectorError as error:
        return Failure(info.uri, "encode", str(error), info.bytes, info.mtime)
    known = None if truth is None else _true_label(info, truth, labels)
    return Classified(info.uri, info.modality, judge.medium, judge.labels.best(mean, k), known)


def _true_label(info: MediaInfo, column: str, labels: Sequence[str]) -> str:
    """The label that an item's list gives it, as `labels` spells it."""
    value = info.columns.get(column)
    if value is None:
        found = ", ".join(info.columns) or "none"
        raise SourceError(
            f"{info.uri}: no true label, the column {column!r} is empty or missing; its list has "
            f"the columns: {found}"
        )
    spelled = {_plain(label): label for label in labels}
    label = spelled.get(_plain(str(value)))
    if label is None:
        raise SourceError(
            f"{info.uri}: its true label {shortened(value)} is none of the {len(labels)} labels; "
            "add it"
        )
    return label


def _plain(label: str) -> str:
    """Labels are compared without case, and `dog_bark` is `dog bark`."""
    return " ".join(label.casefold().replace("_", " ").split())


# ---------------------------------------------------------------- decoding and encoding


def _embedded(
    sources: Sequence[str | os.PathLike[str]], spaces: Spaces, options: EmbedOptions
) -> Iterator[EmbeddedItem | Failure]:
    """Decode in worker processes while this one encodes; items come whole and in order."""
    seen = any(Medium.VIDEO in space.media for space, _ in spaces.values())
    # Where a model sees videos nobody listens to them, and their sound need not be decoded.
    plan = decode_plan(list(spaces.values()), sound_of_videos=not seen)
    assembler = Assembler(spaces, batch_samples=options.batch_samples)
    failures: list[Failure] = []
    found = find_sources(
        [os.fspath(source) for source in sources],
        path_column=options.path_column,
        caption_column=options.caption_column,
        listing=Listing(options.exclude, failures.append),
    )
    for event in decode_all(found, plan, {}, workers=options.workers):
        if isinstance(event, ItemUnchanged):  # of nothing known nothing is unchanged
            continue
        assembler.add(event)
        yield from assembler.finished()
    assembler.flush()
    yield from assembler.finished()
    yield from {failure.uri: failure for failure in failures}.values()
