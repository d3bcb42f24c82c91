"""Runs a moment suite through the public interface: embed, index, search and score.

Moments are searched in the true video and, for some suites, in all videos, by exact search and by
the index that `auto` builds. Two blind baselines read neither video nor query: one constant window
for all videos, and the whole video.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from benchmarks.moments.corpus import VideoCorpus
from benchmarks.moments.hybrid import HybridMoments, grouped
from benchmarks.moments.scoring import (
    IN_CORPUS,
    IN_VIDEO,
    RANKS,
    VIDEO,
    MomentTask,
    blind_corpus_floor,
    means,
    score_in_corpus,
    score_in_video,
    score_videos,
)
from benchmarks.moments.suite import (
    VIDEOS,
    HybridTexts,
    MomentSuite,
    QuerySplits,
    TimedQuery,
    video_files,
)
from benchmarks.results.outcome import Outcome, Result
from benchmarks.suite import RunOptions
from retrieval.evaluation.blind import WHOLE_VIDEO, best_constant_window, scale_window
from retrieval.localization.spans import Span
from retrieval.progress import Progress
from retrieval.protocols import Localizer
from retrieval.search.searcher import Searcher

logger = logging.getLogger(__name__)

FLOOR_IOU, FLOOR_STEPS = 0.5, 20
"""The constant window maximizes R1@0.5; it starts and ends at twentieths of the video."""

Answer = TypeVar("Answer")


def run_moment_suite(suite: MomentSuite, options: RunOptions) -> Outcome:
    """Embed the videos and run every query. Without videos, compute the blind baselines.

    Raises:
        SourceError: Annotations are missing or in an unknown format, or the folder holds a
            collection of other videos.
        UnknownModelError: A model does not exist, or none embeds videos.
    """
    splits = suite.queries(options.data)
    count = max(1, round(options.scale * len(splits.test)))
    run = _MomentRun(
        suite, replace(splits, test=splits.test[:count]), len(splits.test), options.progress
    )
    files = video_files(options.data / VIDEOS, [query.video_id for query in run.splits.test])
    if not files:
        return run.measure_blind(options.data)
    read_texts = suite.read_texts
    hybrid = None if read_texts is None else read_texts(options.data, list(files))
    return run.measure(files, options, hybrid)


@dataclass(frozen=True, slots=True)
class _MomentRun:
    """One run of a suite.

    Attributes:
        splits: The selected queries.
        total: Number of test queries of the data set.
    """

    suite: MomentSuite
    splits: QuerySplits
    total: int
    progress: Progress

    def measure_blind(self, data: Path) -> Outcome:
        """Compute the blind baselines only."""
        logger.warning(
            "%s: none of its videos is in %s, so nothing is searched: blind floors only",
            self.suite.name,
            data / VIDEOS,
        )
        self._log_pool(self.splits.test, "")
        return Outcome.merged([self._floors(self.splits.test)[0], self._published()])

    def measure(
        self, files: Mapping[str, Path], options: RunOptions, hybrid: HybridTexts | None
    ) -> Outcome:
        """Run every query whose video exists, and compare vectors with texts if there are some."""
        sentences = [query.query for query in self.splits.test]
        texts = None if hybrid is None else hybrid.texts
        corpus = VideoCorpus.embed(self.suite.name, files, sentences, options, texts)
        queries = [query for query in self.splits.test if query.video_id in corpus.item_ids]
        self._log_pool(queries, f" of {len(corpus.item_ids)} videos")
        floors, floor = self._floors(queries)
        parts = [floors]
        for name, localizers in corpus.localizers(options.localizer).items():
            task = MomentTask(
                self.suite.name, f"{IN_VIDEO}, {name}", queries, len(queries), floor,
                files=corpus.files,
            )  # fmt: skip
            parts.append(self._in_video(corpus, localizers, task))
            if self.suite.searches_corpus:
                pool = len(corpus.item_ids)
                task = replace(task, name=f"{IN_CORPUS}, {name}", pool=pool)
                parts += self._in_corpus(corpus, localizers, task)
        if self.suite.searches_corpus:
            parts += self._videos(corpus, queries)
        if hybrid is not None:
            parts.append(self._hybrid(corpus, queries, hybrid, options.localizer))
        return Outcome.merged([*parts, self._published()])

    def _hybrid(
        self, corpus: VideoCorpus, queries: Sequence[TimedQuery], hybrid: HybridTexts, name: str
    ) -> Outcome:
        """Compare vectors, texts and their fusions in all videos, with the first localizer."""
        localizer, localizers = next(iter(corpus.localizers(name).items()))
        searcher = corpus.searcher(localizers)
        task = HybridMoments(
            self.suite.name, grouped(queries, hybrid.groups), len(corpus.item_ids), localizer,
            files=corpus.files,
        )  # fmt: skip
        return task.measure(
            lambda text, mode: corpus.hybrid_moments(searcher, text, mode), self.progress
        )

    def _floors(self, queries: Sequence[TimedQuery]) -> tuple[Outcome, dict[str, float]]:
        """Measure both blind baselines; also return the figures of the constant window."""
        window, source = self._constant_window(queries)
        name = f"constant window {window[0]:.0%} to {window[1]:.0%} (best on {source})"
        constant = self._blind(queries, window, name)
        floor = {row.metric: row.value or 0.0 for row in constant.results}
        return Outcome.merged([constant, self._blind(queries, WHOLE_VIDEO, "whole video")]), floor

    def _constant_window(self, queries: Sequence[TimedQuery]) -> tuple[Span, str]:
        """Choose the window; also return the name of the queries that decided.

        On the training split only the first window of each query counts, as in the published
        baselines of these data sets.
        """
        training = self.splits.training
        deciding = training or queries
        windows = [query.windows[:1] if training else query.windows for query in deciding]
        durations = [query.duration_seconds for query in deciding]
        window, _ = best_constant_window(windows, durations, FLOOR_IOU, steps=FLOOR_STEPS)
        return window, "the training split" if training else "these queries"

    def _blind(self, queries: Sequence[TimedQuery], window: Span, name: str) -> Outcome:
        spans = scale_window(window, [query.duration_seconds for query in queries])
        moments = [
            [(query.video_id, *span, 1.0)] for query, span in zip(queries, spans, strict=True)
        ]
        values = score_in_video(queries, moments, with_map=self.suite.reports_map)
        task = MomentTask(self.suite.name, f"{IN_VIDEO}, {name}", queries, len(queries))
        in_video = task.outcome(values)
        if not self.suite.searches_corpus:
            return in_video
        videos = len({query.video_id for query in queries})
        title = f"{IN_CORPUS}, {name}, of videos drawn at random"
        expected = [
            Result(self.suite.name, title, metric, value, pool=videos)
            for metric, value in blind_corpus_floor(means(values), videos).items()
        ]
        return Outcome.merged([in_video, Outcome(expected)])

    def _published(self) -> Outcome:
        """List published figures in rows of their own, because they are of other models."""
        return Outcome([
            Result(self.suite.name, f"{task}, {name}", metric, published=value)
            for name, figures in self.suite.data_set.reported.items()
            for (task, metric), value in figures.items()
        ])  # fmt: skip

    def _in_video(
        self, corpus: VideoCorpus, localizers: Sequence[Localizer], task: MomentTask
    ) -> Outcome:
        searcher = corpus.searcher(localizers)
        queries = self._tracked(task.queries, task.name)
        moments = [corpus.moments_in_true_video(searcher, query) for query in queries]
        values = score_in_video(task.queries, moments, with_map=self.suite.reports_map)
        return task.outcome(values, moments)

    def _in_corpus(
        self, corpus: VideoCorpus, localizers: Sequence[Localizer], task: MomentTask
    ) -> Iterator[Outcome]:
        """Find moments in all videos."""
        answers = self._by_index(corpus, localizers, task, corpus.moments)
        for suffix, moments in answers.items():
            own = replace(task, name=task.name + suffix)
            yield own.outcome(score_in_corpus(task.queries, moments), moments)

    def _videos(self, corpus: VideoCorpus, queries: Sequence[TimedQuery]) -> Iterator[Outcome]:
        """Find the true video among all."""
        videos = len(corpus.item_ids)
        chance = {f"R@{k}": min(k, videos) / videos for k in RANKS}
        task = MomentTask(self.suite.name, VIDEO, queries, videos, chance=chance)
        for suffix, rankings in self._by_index(corpus, (), task, corpus.ranked_videos).items():
            yield replace(task, name=VIDEO + suffix).outcome(score_videos(queries, rankings))

    def _by_index(
        self,
        corpus: VideoCorpus,
        localizers: Sequence[Localizer],
        task: MomentTask,
        search: Callable[[Searcher, TimedQuery], list[Answer]],
    ) -> dict[str, list[list[Answer]]]:
        """Run all queries by exact search and by the index, keyed by suffixes of the task name.

        An exact index is not searched a second time, because its answers are the same.
        """
        exact = corpus.searcher(localizers, exact=True)
        answers = [search(exact, query) for query in self._tracked(task.queries, task.name)]
        if corpus.is_exact:
            return {"": answers, ", index": answers}
        index = corpus.searcher(localizers)
        queries = self._tracked(task.queries, f"{task.name}, index")
        return {"": answers, ", index": [search(index, query) for query in queries]}

    def _log_pool(self, queries: Sequence[TimedQuery], pool: str) -> None:
        logger.info("%s: %d of %d queries%s", self.suite.name, len(queries), self.total, pool)
        if len(queries) < self.total:
            logger.warning(
                "the pool is partial; its figures are not comparable with published ones"
            )

    def _tracked(self, queries: Sequence[TimedQuery], task: str) -> Iterator[TimedQuery]:
        """Iterate over queries and report progress."""
        for done, query in enumerate(queries):
            self.progress(task, done, len(queries))
            yield query
        self.progress(task, len(queries), len(queries))
