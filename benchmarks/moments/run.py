"""Runs a suite of moments through the public path: embed, index, search, and count.

Moments are asked of the true video alone and, where the field does, of all videos; the latter by
exact search and by the index that `auto` builds. Beside them stand what sees neither video nor
query: one constant window for all videos, and the whole video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TypeVar

from benchmarks.datasets.embedded_files import Say, told
from benchmarks.moments.corpus import Corpus
from benchmarks.moments.suite import VIDEOS, MomentSuite, Question, Questions
from benchmarks.moments.task import (
    IN_CORPUS,
    IN_VIDEO,
    RANKS,
    VIDEO,
    Task,
    floor_in_corpus,
    means,
    scored_in_corpus,
    scored_in_video,
    scored_videos,
)
from benchmarks.results.outcome import Outcome
from benchmarks.results.tables import Result
from retrieval.evaluation.blind import WHOLE_VIDEO, best_constant_window, scale_window
from retrieval.localization.spans import Span
from retrieval.protocols import Localizer
from retrieval.search.searcher import Searcher

FLOOR_IOU, FLOOR_STEPS = 0.5, 20
"""The constant window is the one with the best R1@0.5 that begins and ends at twentieths."""

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class MomentRun:
    """One run of a suite.

    Attributes:
        questions: Those that are asked, and those of the training split.
        published: Questions of the data set, of which fewer may be asked.
        say: Told about every step.
    """

    suite: MomentSuite
    questions: Questions
    published: int
    say: Say

    # ---------------------------------------------------------------- without videos

    def measure_blind(self, data: Path) -> Outcome:
        """The blind floors alone."""
        self.say(
            f"{self.suite.name}: none of its videos lies below {data / VIDEOS}, so nothing is "
            "searched: blind floors only"
        )
        self._warn(self.questions.asked, None)
        return self._floors(self.questions.asked)[0].joined(self._published())

    def _floors(self, asked: Sequence[Question]) -> tuple[Outcome, dict[str, float]]:
        """Rows of the constant window and of the whole video; figures of the former by metric."""
        window, where = self._constant_window(asked)
        named = f"constant window {window[0]:.0%} to {window[1]:.0%} (best on {where})"
        constant = self._blind(asked, window, named)
        floor = {row.metric: row.value or 0.0 for row in constant.results}
        return constant.joined(self._blind(asked, WHOLE_VIDEO, "whole video")), floor

    def _constant_window(self, asked: Sequence[Question]) -> tuple[Span, str]:
        """The window, and on what it was chosen.

        Of the training split each query's first window counts, as if it had no other: so the
        floors that are known of these data sets were made.
        """
        learnt = self.questions.learnt
        chosen_on = learnt or asked
        windows = [one.windows[:1] if learnt else one.windows for one in chosen_on]
        durations = [one.duration_seconds for one in chosen_on]
        window, _ = best_constant_window(windows, durations, FLOOR_IOU, steps=FLOOR_STEPS)
        return window, "the training split" if learnt else "these queries"

    def _blind(self, asked: Sequence[Question], window: Span, name: str) -> Outcome:
        spans = scale_window(window, [one.duration_seconds for one in asked])
        found = [[(one.video_id, *span, 1.0)] for one, span in zip(asked, spans, strict=True)]
        values = scored_in_video(asked, found, with_map=self.suite.with_map)
        alone = Task(self.suite.name, f"{IN_VIDEO}, {name}", asked, len(asked)).outcome(values)
        if not self.suite.corpus:
            return alone
        videos = len({one.video_id for one in asked})
        task = f"{IN_CORPUS}, {name}, of videos drawn at random"
        expected = [
            Result(self.suite.name, task, metric, value, pool=videos)
            for metric, value in floor_in_corpus(means(values), videos).items()
        ]
        return alone.joined(Outcome(expected))

    def _published(self) -> Outcome:
        """What the literature reports, a row each: it is of other models than the one that runs."""
        return Outcome([
            Result(self.suite.name, f"{task}, {name}", metric, None, published=value)
            for name, figures in self.suite.data_set.reported.items()
            for (task, metric), value in figures.items()
        ])  # fmt: skip

    # ---------------------------------------------------------------- with videos

    def measure(
        self, files: Mapping[str, Path], folder: Path, models: Sequence[str], localizer: str
    ) -> Outcome:
        """Ask every query whose video is there; see `MomentSuite.run`."""
        queries = [one.query for one in self.questions.asked]
        corpus = Corpus.embedded(self.suite.name, folder, files, models, queries, self.say)
        asked = [one for one in self.questions.asked if one.video_id in corpus.item_ids]
        self._warn(asked, corpus)
        floors, floor = self._floors(asked)
        parts = [floors]
        for name, localizers in corpus.localizers(localizer).items():
            searcher = corpus.searcher(localizers)
            parts.append(self._in_video(corpus, searcher, asked, name, floor))
            if self.suite.corpus:
                parts += self._in_corpus(corpus, localizers, asked, name, floor)
        if self.suite.corpus:
            parts += self._videos(corpus, asked)
        return reduce(Outcome.joined, [*parts, self._published()])

    def _in_video(
        self,
        corpus: Corpus,
        searcher: Searcher,
        asked: Sequence[Question],
        localizer: str,
        floor: Mapping[str, float],
    ) -> Outcome:
        task = f"{IN_VIDEO}, {localizer}"
        found = [corpus.moments_of_its_video(searcher, one) for one in self._told(asked, task)]
        values = scored_in_video(asked, found, with_map=self.suite.with_map)
        named = Task(self.suite.name, task, asked, len(asked), floor, files=corpus.files)
        return named.outcome(values, found)

    def _in_corpus(
        self,
        corpus: Corpus,
        localizers: Sequence[Localizer],
        asked: Sequence[Question],
        localizer: str,
        floor: Mapping[str, float],
    ) -> Iterator[Outcome]:
        """Moments among all videos."""
        task = Task(
            self.suite.name, f"{IN_CORPUS}, {localizer}", asked, len(corpus.item_ids), floor,
            files=corpus.files,
        )  # fmt: skip
        for ending, found in self._found(corpus, localizers, task, corpus.moments).items():
            named = replace(task, name=task.name + ending)
            yield named.outcome(scored_in_corpus(asked, found), found)

    def _videos(self, corpus: Corpus, asked: Sequence[Question]) -> Iterator[Outcome]:
        """The true video among all."""
        videos = len(corpus.item_ids)
        chance = {f"R@{k}": min(k, videos) / videos for k in RANKS}
        task = Task(self.suite.name, VIDEO, asked, videos, chance=chance)
        for ending, found in self._found(corpus, (), task, corpus.ranked_videos).items():
            yield replace(task, name=VIDEO + ending).outcome(scored_videos(asked, found))

    def _found(
        self,
        corpus: Corpus,
        localizers: Sequence[Localizer],
        task: Task,
        ask: Callable[[Searcher, Question], list[Found]],
    ) -> dict[str, list[list[Found]]]:
        """What exact search and the index find, by what their tasks' names end with.

        An index that is exact is not asked again: it is the same search.
        """
        exact = corpus.searcher(localizers, exact=True)
        found = [ask(exact, one) for one in self._told(task.asked, task.name)]
        if corpus.exact:
            return {"": found, ", index": found}
        index, name = corpus.searcher(localizers), f"{task.name}, index"
        return {"": found, ", index": [ask(index, one) for one in self._told(task.asked, name)]}

    def _warn(self, asked: Sequence[Question], corpus: Corpus | None) -> None:
        """Say where less is asked than the data set has."""
        pool = "" if corpus is None else f" of {len(corpus.item_ids)} videos"
        self.say(f"{self.suite.name}: {len(asked)} of {self.published} queries{pool} are asked")
        if len(asked) < self.published:
            self.say("warning: a part of the pool; its figures are not comparable with others'")

    def _told(self, asked: Sequence[Question], what: str) -> Iterator[Question]:
        """The questions; says every few seconds how many are done."""
        tell = told(len(asked), f"queries asked: {what}", self.say)
        for done, one in enumerate(asked):
            tell(done)
            yield one
