"""Training data of a Hammer: queries with their video, their spans, and rival videos."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.pooling import MIN_LENGTH
from retrieval.localization.hammer_model import BEGIN, END, OTHER
from retrieval.localization.spans import Span
from retrieval.types import TimedRows

CLIP_ROWS = 4
"""Rows per clip; the first stage searches clip means for rivals."""

MAX_RIVALS = 12
"""Videos per query that the first stage ranks highest and that do not answer the query."""

CORPUS_VIDEOS = 400
"""Videos among which a query's rivals are searched. In larger corpora, nearly all rivals score
above the query's own video, and a model that compares them learns to distrust the first stage."""


@dataclass(frozen=True, slots=True)
class AnnotatedMoment:
    """A query, the number of its video, and the spans of the video that answer it; at least one."""

    video: int
    text: str
    windows: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class MomentData:
    """Videos and queries about them.

    Attributes:
        videos: The rows of each video; vectors may be float16.
        queries: The queries.
        sentences: (queries, dim) float32 unit vectors of the queries, in the videos' space.
        rivals: For each query, the most similar other videos, hardest first.
    """

    videos: list[TimedRows]
    queries: list[AnnotatedMoment]
    sentences: NDArray[np.float32]
    rivals: list[NDArray[np.int64]]

    @property
    def dim(self) -> int:
        """Length of a row."""
        return int(self.sentences.shape[1])

    def subset(self, max_queries: int) -> MomentData:
        """Return the same videos with at most `max_queries` queries, evenly spaced."""
        numbers = range(0, len(self.queries), -(-len(self.queries) // max_queries))
        return MomentData(
            self.videos,
            [self.queries[number] for number in numbers],
            self.sentences[list(numbers)],
            [self.rivals[number] for number in numbers],
        )

    def queries_digest(self) -> str:
        """Return the sha256 of the queries, which checkpoints store."""
        # The text of checkpoints so far; a release once called the class AskedMoment.
        parts = (
            f"AskedMoment(video={query.video}, text={query.text!r}, windows={query.windows!r})"
            for query in self.queries
        )
        return hashlib.sha256(f"[{', '.join(parts)}]".encode()).hexdigest()


def find_rivals(
    videos: list[TimedRows],
    queries: list[AnnotatedMoment],
    sentences: NDArray[np.float32],
    *,
    answers: Callable[[int, int], bool] = lambda query, video: False,
) -> MomentData:
    """Find hard negatives as a first-stage search does: by the best inner product with a clip mean.

    Args:
        videos: At least two.
        queries: The queries.
        sentences: (queries, dim) float32 unit vectors of the queries.
        answers: Whether a video (second number) also answers a query (first number); such a video
            is not a rival.
    """
    rivals: list[NDArray[np.int64]] = [np.empty(0, np.int64)] * len(queries)
    # Corpora of equal size, as far as the numbers allow.
    for corpus in np.array_split(np.arange(len(videos)), -(-len(videos) // CORPUS_VIDEOS)):
        clips = [_clip_means(videos[video].vectors) for video in corpus]
        firsts = np.cumsum([0, *(len(part) for part in clips[:-1])])
        numbers = [n for n, query in enumerate(queries) if corpus[0] <= query.video <= corpus[-1]]
        scores = np.maximum.reduceat(sentences[numbers] @ np.concatenate(clips).T, firsts, axis=1)
        order = np.argsort(-scores, axis=1)[:, : MAX_RIVALS + 4]
        for number, ranked in zip(numbers, corpus[order], strict=True):
            others = [
                video
                for video in ranked.tolist()
                if video != queries[number].video and not answers(number, video)
            ]
            rivals[number] = np.asarray(others[:MAX_RIVALS], np.int64)
    return MomentData(videos, queries, sentences, rivals)


def label_rows(video: TimedRows, windows: Sequence[Span]) -> NDArray[np.int64]:
    """Label each row as the first of a window, its last, or neither.

    A row belongs to the window that contains its middle. The end of a window of one row is the next
    row; without a next row there is only a begin.

    Returns:
        (n,) of OTHER, BEGIN and END.
    """
    middles = (video.start_seconds + video.end_seconds) / 2
    labels = np.full(len(middles), OTHER, np.int64)
    for start, end in windows:
        inside = np.flatnonzero((middles >= start) & (middles < end))
        if not len(inside):
            inside = np.array([np.abs(middles - (start + end) / 2).argmin()])
        first, last = int(inside[0]), int(inside[-1])
        labels[min(max(last, first + 1), len(labels) - 1)] = END
        labels[first] = BEGIN
    return labels


def _clip_means(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return unit means of neighbouring rows."""
    firsts = np.arange(0, len(vectors), CLIP_ROWS)
    sums = np.add.reduceat(vectors.astype(np.float32), firsts, axis=0)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    means: NDArray[np.float32] = sums / np.maximum(lengths, MIN_LENGTH)
    return means
