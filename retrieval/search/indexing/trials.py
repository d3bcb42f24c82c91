"""Builds kinds of indexes over a sample of the rows, tunes them and measures their speed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexes.candidates import TRIAL_ROWS, Candidate, training_rows
from retrieval.errors import IndexBuildError
from retrieval.progress import Progress
from retrieval.search.indexing.deadline import Deadline, OutOfTimeError
from retrieval.search.indexing.tuning_queries import main_type, sample_rows

if TYPE_CHECKING:
    from indexes.faiss import FaissIndex
    from indexes.gpus import Gpus
    from indexes.protocol import VectorIndex
    from indexes.tuning import QuerySample

logger = logging.getLogger(__name__)

HOPELESS = 0.6
"""A kind that misses the target and is slower than this share of the fastest one is abandoned,
because more effort makes it slower still. Timings on a busy machine vary by a fifth."""

PROBE_SHARE = 1 / 8
"""A graph is first built over this share of a trial's rows."""

PROBE_SPEED = 4.0
"""A graph has at most a quarter of its speed when its rows grow by the inverse of that share: four
times as many take up to 4.9 times as long (docs/explanation/indexing.md)."""

Samples = Mapping[str, "QuerySample"]
"""Queries with their exact results, by query type."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Result of one kind of index over a sample of the rows.

    Attributes:
        factory: FAISS factory string for the sample's number of rows; None: exact search.
        rows: Number of rows of the sample.
        recall: Recall@10 by query type, at the tuned effort.
        reached: Whether the recall reaches the target.
        queries_per_second: Speed at the tuned effort.
        bytes_per_row: Memory that grows with the rows.
        build_seconds: Time to build the index over the sample.
        curve: (recall, queries per second) of every tested effort.
    """

    factory: str | None
    rows: int
    recall: Mapping[str, float]
    reached: bool
    queries_per_second: float
    bytes_per_row: float
    build_seconds: float
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class RowSample:
    """A sample of the rows, its exact index, and queries."""

    index: FaissIndex
    rows: NDArray[np.float32]
    queries: Samples


@dataclass(frozen=True, slots=True)
class TrialRunner:
    """Tests kinds of indexes.

    Attributes:
        exact: All rows.
        target: Recall@10 to reach.
        sample_queries: Samples queries and computes their results in an index.
        gpus: GPUs that searches will use; None: the CPU.
        deadline: End of the trials. One kind is tested in any case.
        progress: Receives the number of the current trial.
    """

    exact: FaissIndex
    target: float
    sample_queries: Callable[[FaissIndex], Samples]
    gpus: Gpus | None
    deadline: Deadline
    progress: Progress

    def run(self, kinds: Sequence[Candidate]) -> Iterator[tuple[Candidate, Trial]]:
        """Test kinds one by one; skip those that FAISS refuses or that cannot win.

        Rotations take longest to train and find less than unrotated codes of twice the size
        (docs/indexing.md). They are skipped once another kind reaches the target.
        """
        exact = self.exact
        sample = exact.gather(sample_rows(np.arange(exact.rows), TRIAL_ROWS))
        full = self._sample(sample)
        small: RowSample | None = None
        best, reached, tested = 0.0, False, False
        for number, kind in enumerate(self._in_test_order(kinds), start=1):
            if reached and kind.rotates:
                continue
            name = kind.factory(len(sample)) or "exact search"
            if tested and self.deadline.left <= 0:
                logger.info("%s is not tested: %g s are used up", name, self.deadline.seconds)
                continue
            self.progress("index trials", number, len(kinds), name)
            try:
                if best and kind.graph and self.gpus is None:
                    small = small or self._sample(sample[:: round(1 / PROBE_SHARE)])
                    self._probe(kind, small, best)
                trial = self._test(kind, full, HOPELESS * best, self.deadline if tested else None)
            except (IndexBuildError, OutOfTimeError) as error:
                logger.info("%s is skipped: %s", name, str(error) or "its time is used up")
                continue
            tested = True
            reached = reached or (trial.reached and kind.template is not None)
            best = max(best, trial.queries_per_second if trial.reached else 0.0)
            yield kind, trial

    def _in_test_order(self, kinds: Sequence[Candidate]) -> Sequence[Candidate]:
        """Sort by build time: exact search and lists, graphs, rotations. GPUs build all fast."""
        if self.gpus is not None:
            return kinds
        return sorted(kinds, key=lambda kind: (kind.rotates, kind.graph))

    def _sample(self, rows: NDArray[np.float32]) -> RowSample:
        from indexes.building import build_exact
        from indexes.faiss import FaissIndex

        index = FaissIndex(build_exact([rows], self.exact.dim, expected_rows=len(rows)))
        return RowSample(index, rows, self.sample_queries(index))

    def _probe(self, kind: Candidate, sample: RowSample, best: float) -> None:
        """Test a graph over few rows to decide whether it can win.

        Raises:
            IndexBuildError: The graph is too slow.
            OutOfTimeError: Building it over the full sample would take too long.
        """
        min_speed = PROBE_SPEED * HOPELESS * best
        trial = self._test(kind, sample, min_speed, self.deadline)
        if not trial.reached or trial.queries_per_second < min_speed:
            raise IndexBuildError(
                f"it answers {trial.queries_per_second:,.0f} queries a second among "
                f"{len(sample.rows):,} rows, too few to be the fastest among all of the trial"
            )
        # Build time grows faster than the rows.
        if trial.build_seconds / PROBE_SHARE > self.deadline.left:
            raise OutOfTimeError

    def _test(
        self, kind: Candidate, sample: RowSample, min_speed: float, deadline: Deadline | None
    ) -> Trial:
        """Build a kind over a sample, tune it, and time it on the device of later searches.

        The number of candidates is limited by the growth from the sample to all rows, because
        codes that need many candidates among few rows need more among many.

        Raises:
            IndexBuildError: FAISS refuses the kind.
            OutOfTimeError: The deadline is over.
        """
        from indexes.building import build_approximate
        from indexes.routing import ListRouting
        from indexes.tuning import TuningOptions, tune

        index, rows = sample.index, sample.rows
        factory = kind.factory(len(rows))
        start = time.perf_counter()
        if factory is not None:
            training = sample_rows(np.arange(len(rows)), training_rows(factory, len(rows)))
            blocks = [rows] if deadline is None else deadline.blocks(rows)
            built = build_approximate(factory, rows[training], blocks, gpus=self.gpus)
            routing = None  # GPUs visit the same number of lists for every query.
            if self.gpus is None:
                routing = ListRouting.measure(
                    built, rows, sample.queries[main_type(sample.queries)].vectors
                )
            index = index.with_approximate(built, routing=routing)
        build_seconds = time.perf_counter() - start
        options = TuningOptions(
            step=2,
            timed=(0, 1),
            full_curve=True,
            growth=self.exact.rows / max(1, len(rows)),
            min_speed=min_speed,
            prepare=self._place,
        )
        tuning = tune(index, sample.queries, self.target, options)
        best = tuning.best
        return Trial(
            factory=factory,
            rows=len(rows),
            recall=best.recall,
            reached=tuning.reached,
            queries_per_second=best.queries_per_second,
            bytes_per_row=kind.row_bytes,
            build_seconds=round(build_seconds, 3),
            curve=tuple((point.min_recall, point.queries_per_second) for point in tuning.points),
        )

    def _place(self, index: FaissIndex) -> VectorIndex:
        """Move an index to the device of later searches."""
        if self.gpus is None:
            return index
        from indexes.gpu_approximate import GpuApproximateIndex

        return GpuApproximateIndex(index, self.gpus)
