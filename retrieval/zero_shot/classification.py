"""`classify`: zero-shot classification with text labels, as in CLIP (2103.00020).

A label's vector is the normalised mean of the vectors of several sentences about it. An item gets
the labels with the nearest vectors.
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
from retrieval.errors import (
    DamagedMediaError,
    InvalidVectorError,
    QueryError,
    SourceError,
    short_repr,
)
from retrieval.media.decode import NO_ENCODER
from retrieval.media.sources.find import find_sources
from retrieval.media.sources.listing import Listing
from retrieval.media.workers.pool import decode_all
from retrieval.protocols import Encoder, Tempered
from retrieval.types import EmbeddedItem, Failure, MediaInfo, Medium
from retrieval.zero_shot.prompts import TEMPLATES, fill_templates

LOGIT_SCALE = 100.0
"""Factor of inner products for models without a trained one: the upper end of CLIP's range."""

LABELS_PER_BATCH = 256


@dataclass(frozen=True, slots=True)
class Guess:
    """A label of an item, its probability among all labels, and its inner product."""

    label: str
    probability: float
    score: float


@dataclass(frozen=True, slots=True)
class Classification:
    """An item and its best labels.

    Attributes:
        medium: The classified medium: audio for a video that no model for pictures embeds.
        guesses: Best first.
        truth: The true label, from the requested column of the item's list.
    """

    uri: str
    modality: Medium
    medium: Medium
    guesses: tuple[Guess, ...]
    truth: str | None = None


@dataclass(slots=True)
class ClassifyReport:
    """Counts of a run, updated while it runs."""

    classified: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    without_encoder: int = 0
    with_truth: int = 0
    correct: int = 0
    correct_among_guesses: int = 0

    @property
    def seen(self) -> int:
        """Number of items processed so far."""
        return self.classified + self.failed + self.without_encoder

    @property
    def accuracy(self) -> float | None:
        """Share of the items with a true label whose first guess is correct; None without any."""
        return self.correct / self.with_truth if self.with_truth else None

    @property
    def accuracy_in_k(self) -> float | None:
        """Share of the items with a true label that have it among their guesses."""
        return self.correct_among_guesses / self.with_truth if self.with_truth else None

    def count(self, result: Classification | Failure) -> None:
        """Count one result."""
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
            self.with_truth += 1
            self.correct += labels[0] == result.truth
            self.correct_among_guesses += result.truth in labels


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Labels in one space: (labels, dim) float32 unit vectors, and the softmax's logit scale."""

    labels: tuple[str, ...]
    vectors: NDArray[np.float32]
    logit_scale: float

    def best(self, vector: NDArray[np.float32], k: int) -> tuple[Guess, ...]:
        """Return the k labels nearest to a unit vector (dim,), with a softmax over all labels."""
        scores = (self.vectors @ vector).astype(np.float64)
        logits = self.logit_scale * (scores - scores.max())
        probabilities = np.exp(logits) / np.exp(logits).sum()
        order = np.argsort(-scores, kind="stable")[:k].tolist()
        return tuple(
            Guess(self.labels[i], float(probabilities[i]), float(scores[i])) for i in order
        )


def classify(
    sources: Sequence[str | os.PathLike[str]],
    labels: Sequence[str],
    options: EmbedOptions | None = None,
    *,
    templates: Mapping[Medium, Sequence[str]] = TEMPLATES,
    k: int = 5,
    truth: str | None = None,
) -> Iterator[Classification | Failure]:
    """Yield the best labels of every item of some sources.

    A recording or video is classified by the mean of its segments' vectors. Of several models the
    first that embeds an item's modality is used; a video falls back to its sound.

    Args:
        sources: Media files, folders and lists, as for `embed`.
        labels: At least two.
        options: Models and decoding, as for `embed`.
        templates: Sentences with `{}`, by medium.
        k: Labels per item.
        truth: Column of the lists with the true labels.

    Raises:
        QueryError: k is not positive.
        SourceError: A source cannot be read, or a true label is missing or not one of the labels.
        DamagedMediaError: A file cannot be used, with `strict`.
    """
    if k < 1:
        raise QueryError(f"k must be at least 1, got {k}")
    options = options or EmbedOptions()
    spaces = open_spaces(None, options)
    classifiers = _classifiers(spaces, labels, templates)
    for result in _embed(sources, spaces, options):
        if isinstance(result, EmbeddedItem):
            yield _classify(result, classifiers, labels, k, truth)
            continue
        if options.strict and result.stage != NO_ENCODER:
            raise DamagedMediaError(
                f"{result.uri}: {result.reason}; classify without strict to skip it"
            )
        yield result


def embed_labels(encoder: Encoder, labels: Sequence[str], templates: Sequence[str]) -> LabelSet:
    """Embed each label in all sentences; average and normalise the vectors per label."""
    batches = []
    for first in range(0, len(labels), LABELS_PER_BATCH):
        batch = labels[first : first + LABELS_PER_BATCH]
        texts = [text for label in batch for text in fill_templates(templates, label)]
        vectors = encoder.encode_text(texts)
        means = vectors.reshape(len(batch), len(templates), -1).mean(axis=1, dtype=np.float64)
        batches.append(unit_rows(means, f"{encoder.spec}: mean of a label's sentences"))
    scale = encoder.logit_scale if isinstance(encoder, Tempered) else LOGIT_SCALE
    return LabelSet(tuple(labels), np.concatenate(batches), scale)


# ---------------------------------------------------------------- classifiers


@dataclass(frozen=True, slots=True)
class _Classifier:
    """The space, the medium and the labels that classify items of one modality."""

    space: str
    medium: Medium
    labels: LabelSet


def _classifiers(
    spaces: Spaces, labels: Sequence[str], templates: Mapping[Medium, Sequence[str]]
) -> dict[Medium, _Classifier]:
    classifiers: dict[Medium, _Classifier] = {}
    for name, (space, encoder) in spaces.items():
        for medium in space.media:
            if medium not in classifiers:
                label_set = embed_labels(encoder, labels, templates[medium])
                classifiers[medium] = _Classifier(name, medium, label_set)
    if Medium.VIDEO not in classifiers and Medium.AUDIO in classifiers:
        classifiers[Medium.VIDEO] = classifiers[Medium.AUDIO]
    return classifiers


def _classify(
    item: EmbeddedItem,
    classifiers: Mapping[Medium, _Classifier],
    labels: Sequence[str],
    k: int,
    truth: str | None,
) -> Classification | Failure:
    info = item.info
    classifier = classifiers[info.modality]
    segments = item.segments[classifier.space]
    rows = segments.vectors[[medium is classifier.medium for medium in segments.media]]
    if not len(rows):
        reason = f"a {info.modality} without {classifier.medium}; add a model for its other media"
        return Failure(info.uri, "decode", reason, info.bytes, info.mtime)
    try:
        mean = unit_rows(rows.mean(axis=0, keepdims=True), "mean of an item's segments")[0]
    except InvalidVectorError as error:
        return Failure(info.uri, "encode", str(error), info.bytes, info.mtime)
    true_label = None if truth is None else _true_label(info, truth, labels)
    guesses = classifier.labels.best(mean, k)
    return Classification(info.uri, info.modality, classifier.medium, guesses, true_label)


def _true_label(info: MediaInfo, column: str, labels: Sequence[str]) -> str:
    """Return the label in a column of an item's list, in the spelling of `labels`."""
    value = info.columns.get(column)
    if value is None:
        names = ", ".join(info.columns) or "none"
        raise SourceError(
            f"{info.uri}: no true label, the column {column!r} is empty or missing; its list has "
            f"the columns: {names}"
        )
    spellings = {_normalise(label): label for label in labels}
    label = spellings.get(_normalise(str(value)))
    if label is None:
        raise SourceError(
            f"{info.uri}: its true label {short_repr(value)} is none of the {len(labels)} labels; "
            "add it"
        )
    return label


def _normalise(label: str) -> str:
    """Ignore case, and treat `dog_bark` as `dog bark`."""
    return " ".join(label.casefold().replace("_", " ").split())


# ---------------------------------------------------------------- decoding and encoding


def _embed(
    sources: Sequence[str | os.PathLike[str]], spaces: Spaces, options: EmbedOptions
) -> Iterator[EmbeddedItem | Failure]:
    """Decode in worker processes, encode in this one; yield the items in order."""
    reads_videos = any(Medium.VIDEO in space.media for space, _ in spaces.values())
    # Sound classifies only videos that no model for pictures embeds.
    plan = decode_plan(list(spaces.values()), sound_of_videos=not reads_videos)
    assembler = Assembler(spaces, batch_samples=options.batch_samples)
    failures: list[Failure] = []
    found_sources = find_sources(
        [os.fspath(source) for source in sources],
        path_column=options.path_column,
        caption_column=options.caption_column,
        listing=Listing(options.exclude, failures.append),
    )
    yield from assembler.assemble(decode_all(found_sources, plan, {}, workers=options.workers))
    yield from {failure.uri: failure for failure in failures}.values()
