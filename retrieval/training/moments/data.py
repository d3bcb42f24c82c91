"""Queries with the spans that answer them: what a Hammer is trained on, from whatever source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.pooling import MIN_LENGTH
from retrieval.localization.hammer_model import BEGIN, END, OTHER
from retrieval.localization.spans import Span
from retrieval.types import TimedRows

CLIP_ROWS = 4
"""Rows whose mean the first stage searches, when rivals are looked for."""

RIVALS = 12
"""Videos kept for each query that the first stage ranks highest and that do not answer it."""

CORPUS_VIDEOS = 400
"""Videos among which a query's rivals are looked for. Among thousands, rivals nearly always score
above the query's own video, and a model that compares them learns to distrust the first stage."""


@dataclass(frozen=True, slots=True)
class AskedMoment:
    """A query, the number of its video, and the spans that answer it there; at least one."""

    video: int
    text: str
    windows: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class MomentData:
    """Videos and what is asked of them.

    Attributes:
        videos: Their rows; vectors may be float16.
        asked: The queries.
        sentences: (queries, dim) float32, their unit vectors in the videos' space.
        rivals: For each query the videos that are hardest to tell from its own, hardest first.
    """

    videos: list[TimedRows]
    asked: list[AskedMoment]
    sentences: NDArray[np.float32]
    rivals: list[NDArray[np.int64]]

    @property
    def dim(self) -> int:
        """Length of a row."""
        return int(self.sentences.shape[1])

    def some(self, count: int) -> MomentData:
        """The same videos with `count` of the queries at most, evenly spaced."""
        kept = range(0, len(self.asked), -(-len(self.asked) // count))
        return MomentData(
            self.videos,
            [self.asked[number] for number in kept],
            self.sentences[list(kept)],
            [self.rivals[number] for number in kept],
        )


def with_rivals(
    videos: list[TimedRows],
    asked: list[AskedMoment],
    sentences: NDArray[np.float32],
    *,
    answers: Callable[[int, int], bool] = lambda query, video: False,
) -> MomentData:
    """Find hard negatives as the first stage would: by the best inner product with a clip's mean.

    Args:
        videos: At least two.
        asked: The queries.
        sentences: (queries, dim) float32, their unit vectors.
        answers: Whether a video other than a query's own is known to answer it as well; such a
            one is no rival.
    """
    rivals: list[NDArray[np.int64]] = [np.empty(0, np.int64)] * len(asked)
    # Corpora of equal size, as far as the numbers allow.
    for corpus in np.array_split(np.arange(len(videos)), -(-len(videos) // CORPUS_VIDEOS)):
        clips = [_clip_means(videos[video].vectors) for video in corpus]
        firsts = np.cumsum([0, *(len(part) for part in clips[:-1])])
        queries = [n for n, one in enumerate(asked) if corpus[0] <= one.video <= corpus[-1]]
        scores = np.maximum.reduceat(sentences[queries] @ np.concatenate(clips).T, firsts, axis=1)
        order = np.argsort(-scores, axis=1)[:, : RIVALS + 4]
        for query, ranked in zip(queries, corpus[order], strict=True):
            kept = [
                video
                for video in ranked.tolist()
                if video != asked[query].video and not answers(query, video)
            ]
            rivals[query] = np.asarray(kept[:RIVALS], np.int64)
    return MomentData(videos, asked, sentences, rivals)


def label_rows(video: TimedRows, windows: Sequence[Span]) -> NDArray[np.int64]:
    """Mark each row as the first of a window, its last, or neither.

    A row belongs to a window that its middle lies in. A window of one row gets a begin only, where
    no row follows; else its end is the next row.

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
    """Unit means of neighbouring rows."""
    firsts = np.arange(0, len(vectors), CLIP_ROWS)
    sums = np.add.reduceat(vectors.astype(np.float32), firsts, axis=0)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    means: NDArray[np.float32] = sums / np.maximum(lengths, MIN_LENGTH)
    return means
