"""Writes one part of a space's index: exact and approximate rows, tables, and the card."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexes.candidates import factory_for_kind, training_rows
from indexes.effort import Effort
from retrieval.encoders.probe_texts import PROBE_TEXTS
from retrieval.errors import IndexBuildError
from retrieval.protocols import Encoder
from retrieval.search.calibration import Calibration, QueryKind
from retrieval.search.index_files import RowTable, write_items
from retrieval.search.indexing.card import IndexCard
from retrieval.search.indexing.choice import Choice, Deadline, choose, exact_is_as_fast, sample_rows
from retrieval.search.indexing.measuring import measure_calibration, measure_index, samples_of
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.indexing.tuning_queries import tuning_texts
from retrieval.store.blocks import SegmentBlock
from retrieval.store.reader import Snapshot
from retrieval.types import Space

if TYPE_CHECKING:
    from indexes.faiss import FaissIndex
    from indexes.tuning import QuerySample

BLOCK_ROWS = 16_384

TRIAL_TEXTS = 100
"""Texts that trials are tuned on: enough to tell kinds apart, a third of what the index is."""

EXACT_PART_ROWS = 20_000
"""A further part of fewer rows is searched exactly: it takes about a millisecond."""

DRIFT = 0.01
"""A further part whose recall is lower than the target by this has drifted from the quantizer."""

EXACT, APPROXIMATE, ROWS, ITEMS, CARD, PLOT = (
    "exact.faiss", "part-000.faiss", "rows.arrow", "items.arrow", "card.json", "trials.png",
)  # fmt: skip


WITHOUT_TEXTS = "; tuned on rows alone, since the model that embeds texts could not be loaded"


class DriftError(Exception):
    """New rows lie where the shared quantizer has no lists."""


@dataclass(frozen=True, slots=True)
class _Tuned:
    """An approximate part by kind of query, the least recall, and whether all reach the target."""

    indexes: Mapping[str, FaissIndex]
    recall: float
    reached: bool


class PartWriter:
    """One part of a space's index on its way to disk.

    Args:
        snapshot: What is indexed.
        space: The space.
        request: What the index is to be.
        folder: Where the files go.
        after_item_id: The items up to this one lie in earlier parts.
        say: Told what begins.
        device: Where the approximate part is trained.
        deadline: When choosing a kind has to end.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        space: Space,
        request: IndexRequest,
        folder: Path,
        after_item_id: int,
        say: Callable[[str], None],
        *,
        device: str = "cpu",
        deadline: Deadline | None = None,
    ) -> None:
        self._deadline = deadline or Deadline()
        self._snapshot = snapshot
        self._space = space
        self._request = request
        self._folder = folder
        self._after = after_item_id
        self._device = device
        self._rows = 0
        self._say: Callable[[str], None] = lambda line: say(f"{space.name}: {line}")

    def write(self, encoder: Encoder | None, alike: tuple[Path, IndexCard] | None) -> IndexCard:
        """Write every file of the folder.

        Args:
            encoder: Of the space; None: it is tuned on rows alone, and its card says so.
            alike: Folder and card of the first part, whose quantizer is shared; None: choose a
                kind of index and train it.

        Raises:
            DriftError: The shared quantizer does not suit these rows.
            IndexBuildError: FAISS refuses, nothing fits the memory, or no kind that was to be
                found reaches the target.
        """
        from indexes.equal_rows import DeduplicatedIndex

        began = time.monotonic()
        self._say("reading the vectors")
        exact, rows = self._exact_part()
        self._rows = len(rows)
        rows.write(self._folder / ROWS)
        last = self._snapshot.last_embedded_id(self._space.name)
        write_items(self._snapshot, self._folder / ITEMS, self._after, last)
        texts = probes = np.empty((0, self._space.dim), np.float32)
        if encoder is not None:
            texts = encoder.encode_text(tuning_texts(self._snapshot, exact.rows))
            probes = encoder.encode_text(PROBE_TEXTS)
        card = self._alike(exact, texts, *alike) if alike else self._chosen(exact, texts)
        if card.trials and alike is None:
            from retrieval.search.indexing.pareto import draw_trials

            draw_trials(card, self._folder / PLOT)
        self._say("calibrating scores")
        card = replace(
            card,
            first_item_id=self._after + 1,
            last_item_id=last,
            calibration=measure_calibration(
                exact if rows.places is None else DeduplicatedIndex(exact, rows.places),
                rows,
                probes,
            ),
            # A part that is alike brings the first one's reason.
            reason=card.reason.removesuffix(WITHOUT_TEXTS)
            + ("" if encoder is not None else WITHOUT_TEXTS),
            bytes=sum(path.stat().st_size for path in self._folder.iterdir()),
            build_seconds=round(time.monotonic() - began, 3),
        )
        (self._folder / CARD).write_text(card.to_json(), encoding="utf-8")
        return card

    # ------------------------------------------------------------ kinds

    def _chosen(self, exact: FaissIndex, texts: NDArray[np.float32]) -> IndexCard:
        """Choose, train, fill and tune; the next best kind where the first misses the target."""
        choice = self._choice(exact, texts)
        samples = samples_of(exact, texts)
        tried: list[str] = []
        for factory in choice.factories:
            if factory is None:
                (self._folder / APPROXIMATE).unlink(missing_ok=True)
                return self._card(exact, dict.fromkeys(samples, exact), samples, choice)
            if tried and self._deadline.left <= 0 and None in choice.factories:
                continue
            self._train(exact, factory)
            tuned = self._tuned(exact, samples)
            if tuned.reached and None in choice.factories:
                asked = next(iter(samples.values())).vectors
                why = exact_is_as_fast(exact, tuned.indexes[QueryKind.TEXT], asked)
                if why is not None:
                    choice = replace(choice, factories=(None,), reason=why)
                    (self._folder / APPROXIMATE).unlink()
                    return self._card(exact, dict.fromkeys(samples, exact), samples, choice)
            if not tuned.reached and self._request.kind != "auto":
                self._say(f"{factory} reaches a recall of {tuned.recall:.3f} at most")
            if tuned.reached or self._request.kind != "auto":
                return self._card(exact, tuned.indexes, samples, choice, factory)
            tried.append(f"{factory} reaches {tuned.recall:.3f}")
        raise IndexBuildError(
            f"{self._space.name}: no index of {exact.rows:,} rows that fits reaches a recall of "
            f"{self._request.recall:g}: {'; '.join(tried)}; ask for less, give it more --memory, "
            "or take --kind exact"
        )

    def _choice(self, exact: FaissIndex, texts: NDArray[np.float32]) -> Choice:
        kind = self._request.kind
        if kind == "auto":
            from indexes.gpu import gpus_for_build

            some = texts[:: max(1, -(-len(texts) // TRIAL_TEXTS))]
            # Only who asks for a GPU by name searches on one wherever the index is opened.
            gpus = None if self._device == "auto" else gpus_for_build(self._device, exact.rows)
            return choose(
                exact,
                self._request,
                lambda index: samples_of(index, some),
                self._say,
                gpus,
                deadline=self._deadline,
            )
        factory = factory_for_kind(kind, exact.rows)
        if factory is None and kind != "exact":
            self._say(f"{exact.rows} rows are too few for {kind}")
        return Choice((factory,), "it was asked for")

    def _alike(
        self, exact: FaissIndex, texts: NDArray[np.float32], folder: Path, first: IndexCard
    ) -> IndexCard:
        """Fill and tune a part that shares the first one's quantizer."""
        samples = samples_of(exact, texts)
        # What was tried is told once, by the part that holds the oldest rows.
        choice = Choice((first.factory,), first.reason, first.trials if self._after < 0 else ())
        if first.factory is None or (self._after >= 0 and exact.rows < EXACT_PART_ROWS):
            return self._card(
                exact, dict.fromkeys(samples, exact), samples, choice, trained_for=first.trained_for
            )
        self._fill_alike(exact, folder / APPROXIMATE)
        tuned = self._tuned(exact, samples)
        if tuned.recall < self._request.recall - DRIFT and self._request.kind == "auto":
            raise DriftError(f"recall among new rows is {tuned.recall:.3f}")
        return self._card(
            exact, tuned.indexes, samples, choice, first.factory, trained_for=first.trained_for
        )

    # ------------------------------------------------------------ files

    def _exact_part(self) -> tuple[FaissIndex, RowTable]:
        from indexes.building import build_exact
        from indexes.equal_rows import RowDigests, drop_equal_rows
        from indexes.faiss import FaissIndex
        from indexes.saved import open_index, write_index

        blocks: list[SegmentBlock] = []
        path = self._folder / EXACT
        listed = self._snapshot.manifest.files_in(f"segments/{self._space.name}")
        expected = sum(file.rows for file in listed if (file.last_item_id or 0) > self._after)
        digests = RowDigests()
        exact = build_exact(
            digests.collect(self._vectors(blocks)), self._space.dim, expected_rows=expected
        )
        places = digests.vector_numbers()
        if places is not None:
            self._say(f"{exact.ntotal - places.max() - 1:,} rows are equal to others")
            drop_equal_rows(exact, places)
        write_index(exact, path)
        return FaissIndex(open_index(path)), RowTable.of_blocks(blocks, places)

    def _vectors(self, blocks: list[SegmentBlock]) -> Iterator[NDArray[np.float16]]:
        """Stream the space's vectors; what remains of the blocks are their rows' descriptions."""
        nothing = np.empty((0, self._space.dim), np.float16)
        for block in self._snapshot.iter_segments(self._space.name, after_item_id=self._after):
            blocks.append(replace(block, vectors=nothing))
            yield block.vectors

    def _train(self, exact: FaissIndex, factory: str) -> None:
        from indexes.building import build_approximate
        from indexes.gpu import gpus_for_build
        from indexes.saved import write_index

        count = training_rows(factory, exact.rows)
        gpus = gpus_for_build(self._device, exact.rows)
        self._say(f"training {factory} on {count} rows{' by a GPU' if gpus else ''}")
        sample = exact.gather(sample_rows(np.arange(exact.rows), count))
        try:
            built = build_approximate(factory, sample, _read_back(exact), gpus=gpus)
        except IndexBuildError as error:
            raise IndexBuildError(f"{self._space.name}: {error}") from error
        write_index(built, self._folder / APPROXIMATE)

    def _fill_alike(self, exact: FaissIndex, trained: Path) -> None:
        from indexes.building import refill
        from indexes.gpu import gpus_for_build
        from indexes.saved import read_trained, write_index

        self._say("filling a part of the same quantizer")
        gpus = gpus_for_build(self._device, exact.rows)
        filled = refill(read_trained(trained), _read_back(exact), gpus=gpus)
        write_index(filled, self._folder / APPROXIMATE)

    # ------------------------------------------------------------ measuring

    def _tuned(self, exact: FaissIndex, samples: Mapping[str, QuerySample]) -> _Tuned:
        """Each kind of query on its own: texts need not pay for what media take."""
        from indexes.saved import open_index
        from indexes.tuning import tune

        self._say("measuring recall")
        index = exact.with_approximate(open_index(self._folder / APPROXIMATE))
        tunings = {
            kind: tune(index, {kind: sample}, self._request.recall)
            for kind, sample in samples.items()
        }
        efforts = {
            kind: tuning.best.effort for kind, tuning in tunings.items() if tuning.best.effort
        }
        # A filter takes a row's nearest rows away, a text's not: see docs/filters.md.
        most = Effort(
            max(effort.visited for effort in efforts.values()),
            max(effort.candidates for effort in efforts.values()),
        )
        return _Tuned(
            {
                kind: index.with_effort(efforts.get(kind, most) if kind == QueryKind.TEXT else most)
                for kind in QueryKind
            },
            min(tuning.best.min_recall for tuning in tunings.values()),
            all(tuning.reached for tuning in tunings.values()),
        )

    def _card(
        self,
        exact: FaissIndex,
        indexes: Mapping[str, FaissIndex],
        samples: Mapping[str, QuerySample],
        choice: Choice,
        factory: str | None = None,
        *,
        trained_for: int | None = None,
    ) -> IndexCard:
        """The card but for what is only known at the end."""
        from indexes.faiss import version

        held = 0 if factory is None else (self._folder / APPROXIMATE).stat().st_size
        return IndexCard(
            space=self._space.name,
            request=self._request,
            factory=factory,
            looking={
                QueryKind(kind): index.effort
                for kind, index in indexes.items()
                if index.approximate
            },
            reason=choice.reason,
            rows=self._rows,
            vectors=exact.rows,
            dim=self._space.dim,
            bytes=0,
            training_rows=0 if factory is None else training_rows(factory, exact.rows),
            trained_for=self._rows if trained_for is None else trained_for,
            faiss=version(),
            build_seconds=0.0,
            generation=self._snapshot.manifest.generation,
            first_item_id=0,
            last_item_id=-1,
            measured=measure_index(indexes, samples, held),
            calibration=Calibration({}),
            trials=choice.trials,
        )


def _read_back(exact: FaissIndex) -> Iterator[NDArray[np.float32]]:
    for first in range(0, exact.rows, BLOCK_ROWS):
        yield exact.vectors(first, min(exact.rows, first + BLOCK_ROWS))
