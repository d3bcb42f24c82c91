"""Writes one part of a space's index: exact and approximate vectors, tables, card and plot."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexes.candidates import factory_for_kind, training_rows
from retrieval.encoders.probe_texts import PROBE_TEXTS
from retrieval.errors import IndexBuildError
from retrieval.files.writing import write_text
from retrieval.progress import Progress
from retrieval.protocols import Encoder
from retrieval.search.calibration import QueryType
from retrieval.search.index_files import APPROXIMATE, CARD, ITEMS, LISTS, PLOT, write_items
from retrieval.search.indexing.approximate_part import fill_copy, train, tune_efforts
from retrieval.search.indexing.card import IndexCard
from retrieval.search.indexing.choice import Choice, choose, exact_search_reason
from retrieval.search.indexing.deadline import Deadline
from retrieval.search.indexing.exact_part import write_exact
from retrieval.search.indexing.measuring import measure_calibration, measure_index
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.indexing.trial_plots import draw_trials
from retrieval.search.indexing.tuning_queries import query_samples, tuning_texts
from retrieval.store.reader import Snapshot
from retrieval.types import Space

if TYPE_CHECKING:
    from indexes.faiss import FaissIndex
    from indexes.tuning import QuerySample

logger = logging.getLogger(__name__)

TRIAL_TEXTS = 100
"""Number of texts for trials; a third of those for the index suffices to compare kinds."""

EXACT_PART_ROWS = 20_000
"""A further part with fewer rows is searched exactly, which takes about a millisecond."""

MAX_DRIFT = 0.01
"""The quantizer is trained again when the recall of a further part is this far below the target."""

WITHOUT_TEXTS = "; tuned on rows alone, since the model that embeds texts could not be loaded"


class DriftError(Exception):
    """The shared quantizer does not suit the new rows."""


@dataclass(frozen=True, slots=True)
class PartJob:
    """Everything that determines a new part.

    Attributes:
        snapshot: The generation to index.
        space: The space.
        request: The requirements.
        device: Device for building: `cpu`, `cuda` or `auto`.
        deadline: End of choosing a kind.
        progress: Receives the number of the current trial.
        after_item_id: Last item id of earlier parts, -1 for none.
        first: Folder and card of the first part, whose quantizer is shared; None: choose and
            train a kind.
    """

    snapshot: Snapshot
    space: Space
    request: IndexRequest
    device: str
    deadline: Deadline
    progress: Progress
    after_item_id: int = -1
    first: tuple[Path, IndexCard] | None = None


def write_part(job: PartJob, folder: Path, encoder: Encoder | None) -> IndexCard:
    """Write all files of a part.

    Args:
        job: The part to write.
        folder: Empty folder for the files.
        encoder: Encoder of the space; None: tune on rows alone, and note it in the card.

    Raises:
        DriftError: The shared quantizer does not suit the rows.
        IndexBuildError: FAISS refuses, nothing fits the memory, or no kind reaches the target.
    """
    return _PartBuilder(job, folder).write(encoder)


class _PartBuilder:
    """State while a part is written."""

    def __init__(self, job: PartJob, folder: Path) -> None:
        self._job = job
        self._folder = folder
        self._name = job.space.name
        self._start = time.monotonic()
        logger.info("%s: reading the vectors", self._name)
        self._exact, self._rows = write_exact(job.snapshot, job.space, folder, job.after_item_id)

    def write(self, encoder: Encoder | None) -> IndexCard:
        from indexes.equal_rows import DeduplicatedIndex

        job, exact, rows = self._job, self._exact, self._rows
        last = job.snapshot.last_embedded_id(self._name)
        write_items(job.snapshot, self._folder / ITEMS, job.after_item_id, last)
        texts = probes = np.empty((0, job.space.dim), np.float32)
        if encoder is not None:
            texts = encoder.encode_text(tuning_texts(job.snapshot, exact.rows))
            probes = encoder.encode_text(PROBE_TEXTS)
        card = self._choose_and_build(texts) if job.first is None else self._extend(texts)
        if card.trials and job.first is None:
            draw_trials(card.trials, card.request.recall, self._folder / PLOT)
        logger.info("%s: calibrating scores", self._name)
        numbers = rows.vector_numbers
        searchable = exact if numbers is None else DeduplicatedIndex(exact, numbers)
        card = replace(
            card,
            first_item_id=job.after_item_id + 1,
            last_item_id=last,
            calibration=measure_calibration(searchable, rows, probes),
            # The reason of the first part can already have the suffix.
            reason=card.reason.removesuffix(WITHOUT_TEXTS)
            + ("" if encoder is not None else WITHOUT_TEXTS),
            bytes=sum(path.stat().st_size for path in self._folder.iterdir()),
            build_seconds=round(time.monotonic() - self._start, 3),
        )
        write_text(self._folder / CARD, card.to_json())
        return card

    def _choose_and_build(self, texts: NDArray[np.float32]) -> IndexCard:
        """Build the chosen kind, or the next best one where the first misses the target."""
        job, exact, request = self._job, self._exact, self._job.request
        path = self._folder / APPROXIMATE
        choice = self._choice(texts)
        samples = query_samples(exact, texts)
        exact_indexes = dict.fromkeys(samples, exact)
        missed: list[str] = []
        for factory in choice.factories:
            if factory is None:
                self._drop_approximate()
                return self._card(exact_indexes, samples, choice)
            if missed and job.deadline.left <= 0 and None in choice.factories:
                continue
            self._drop_approximate()
            train(exact, factory, path, space=self._name, device=job.device)
            logger.info("%s: measuring recall", self._name)
            tuned = tune_efforts(exact, path, samples, request.recall, device=job.device)
            if tuned.reached and None in choice.factories:
                queries = next(iter(samples.values())).vectors
                reason = exact_search_reason(exact, tuned.indexes[QueryType.TEXT], queries)
                if reason is not None:
                    self._drop_approximate()
                    choice = replace(choice, factories=(None,), reason=reason)
                    return self._card(exact_indexes, samples, choice)
            if not tuned.reached and request.kind != "auto":
                logger.info(
                    "%s: %s reaches a recall of %.3f at most", self._name, factory, tuned.recall
                )
            if tuned.reached or request.kind != "auto":
                return self._card(tuned.indexes, samples, choice, factory)
            missed.append(f"{factory} reaches {tuned.recall:.3f}")
        raise IndexBuildError(
            f"{self._name}: no index of {exact.rows:,} rows that fits reaches a recall of "
            f"{request.recall:g}: {'; '.join(missed)}; lower the recall, allow more memory, "
            "or use exact search"
        )

    def _drop_approximate(self) -> None:
        for name in (APPROXIMATE, LISTS):
            (self._folder / name).unlink(missing_ok=True)

    def _choice(self, texts: NDArray[np.float32]) -> Choice:
        job, rows, kind = self._job, self._exact.rows, self._job.request.kind
        if kind == "auto":
            some_texts = texts[:: max(1, -(-len(texts) // TRIAL_TEXTS))]
            # Choose GPU-only kinds only for an explicit `cuda`, because `auto` indexes may be
            # opened on CPUs.
            from indexes.gpu import gpus_for_build

            gpus = None if job.device == "auto" else gpus_for_build(job.device, rows)
            return choose(
                self._exact,
                job.request,
                lambda index: query_samples(index, some_texts),
                gpus,
                deadline=job.deadline,
                progress=job.progress,
            )
        factory = factory_for_kind(kind, rows)
        if factory is None and kind != "exact":
            logger.info("%s: %d rows are too few for %s", self._name, rows, kind)
        return Choice((factory,), "it was requested")

    def _extend(self, texts: NDArray[np.float32]) -> IndexCard:
        """Build a part that shares the quantizer of the first one."""
        assert self._job.first is not None
        folder, first = self._job.first
        exact, request, further = self._exact, self._job.request, self._job.after_item_id >= 0
        samples = query_samples(exact, texts)
        # Only the part with the oldest rows stores the trials.
        choice = Choice((first.factory,), first.reason, () if further else first.trials)
        if first.factory is None or (further and exact.rows < EXACT_PART_ROWS):
            card = self._card(dict.fromkeys(samples, exact), samples, choice)
            return replace(card, trained_for=first.trained_for)
        path = self._folder / APPROXIMATE
        logger.info("%s: filling a part with the same quantizer", self._name)
        fill_copy(exact, folder / APPROXIMATE, path, device=self._job.device)
        logger.info("%s: measuring recall", self._name)
        tuned = tune_efforts(exact, path, samples, request.recall, device=self._job.device)
        if tuned.recall < request.recall - MAX_DRIFT and request.kind == "auto":
            raise DriftError(f"recall among new rows is {tuned.recall:.3f}")
        card = self._card(tuned.indexes, samples, choice, first.factory)
        return replace(card, trained_for=first.trained_for)

    def _card(
        self,
        indexes: Mapping[str, FaissIndex],
        samples: Mapping[str, QuerySample],
        choice: Choice,
        factory: str | None = None,
    ) -> IndexCard:
        """Create the card without the values that `write` adds at the end."""
        from indexes.faiss import version

        exact, rows = self._exact, len(self._rows)
        approximate = 0 if factory is None else (self._folder / APPROXIMATE).stat().st_size
        return IndexCard(
            space=self._name,
            factory=factory,
            reason=choice.reason,
            rows=rows,
            vectors=exact.rows,
            dim=self._job.space.dim,
            bytes=0,
            training_rows=0 if factory is None else training_rows(factory, exact.rows),
            trained_for=rows,
            faiss=version(),
            build_seconds=0.0,
            generation=self._job.snapshot.manifest.generation,
            first_item_id=0,
            last_item_id=-1,
            request=self._job.request,
            efforts={
                QueryType(name): index.effort
                for name, index in indexes.items()
                if index.approximate
            },
            measured=measure_index(indexes, samples, approximate),
            trials=choice.trials,
        )
