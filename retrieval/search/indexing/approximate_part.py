"""Trains, fills and tunes the approximate index of a part."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from indexes.candidates import training_rows
from indexes.effort import Effort
from retrieval.errors import IndexBuildError
from retrieval.search.calibration import QueryType
from retrieval.search.index_files import LISTS
from retrieval.search.indexing.exact_part import read_vectors
from retrieval.search.indexing.tuning_queries import main_type, sample_rows

if TYPE_CHECKING:
    from indexes.faiss import FaissIndex
    from indexes.tuning import QuerySample

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TunedIndex:
    """An approximate index with a search effort for each query type.

    Attributes:
        indexes: The index by query type.
        recall: Lowest recall@10 of all query types.
        reached: Whether every query type reaches the target.
    """

    indexes: Mapping[str, FaissIndex]
    recall: float
    reached: bool


def train(exact: FaissIndex, factory: str, path: Path, *, space: str, device: str) -> None:
    """Train a quantizer on a sample of rows, add all rows, and write the index.

    Raises:
        IndexBuildError: FAISS refuses the factory string.
        IndexFileError: The disk refuses.
    """
    from indexes.building import build_approximate
    from indexes.gpu import gpus_for_build
    from indexes.saved import write_index

    count = training_rows(factory, exact.rows)
    gpus = gpus_for_build(device, exact.rows)
    suffix = " on a GPU" if gpus else ""
    logger.info("%s: training %s with %d rows%s", space, factory, count, suffix)
    sample = exact.gather(sample_rows(np.arange(exact.rows), count))
    try:
        index = build_approximate(factory, sample, read_vectors(exact), gpus=gpus)
    except IndexBuildError as error:
        raise IndexBuildError(f"{space}: {error}") from error
    write_index(index, path)


def fill_copy(exact: FaissIndex, trained: Path, path: Path, *, device: str) -> None:
    """Copy a trained quantizer, add all rows, and write the index.

    Raises:
        IndexFileError: The trained index is damaged, or the disk refuses.
    """
    from indexes.building import refill
    from indexes.gpu import gpus_for_build
    from indexes.saved import read_trained, write_index

    gpus = gpus_for_build(device, exact.rows)
    write_index(refill(read_trained(trained), read_vectors(exact), gpus=gpus), path)


def tune_efforts(
    exact: FaissIndex,
    path: Path,
    samples: Mapping[str, QuerySample],
    target: float,
    *,
    device: str,
) -> TunedIndex:
    """Measure the lists of an index, and tune the effort of each query type to a target recall@10.

    The estimates of lists are written beside the index, except for one that is built for GPUs,
    which visit the same number of lists for every query.

    Text queries get their own effort. Media queries get the highest one, because a filter removes
    the nearest neighbours of a row, but rarely those of a text (docs/filters.md).
    """
    from indexes.faiss import float16_rows
    from indexes.routing import ListRouting
    from indexes.saved import open_index
    from indexes.tuning import tune

    approximate, routing = open_index(path), None
    if device != "cuda":
        rows = float16_rows(exact)
        routing = ListRouting.measure(approximate, rows, samples[main_type(samples)].vectors)
    if routing is not None:
        routing.write(path.parent / LISTS)
    index = exact.with_approximate(approximate, routing=routing)
    tunings = {name: tune(index, {name: sample}, target) for name, sample in samples.items()}
    efforts = {name: tuning.best.effort for name, tuning in tunings.items() if tuning.best.effort}
    margins = [effort.margin for effort in efforts.values() if effort.margin is not None]
    highest = Effort(
        max(effort.visited for effort in efforts.values()),
        max(effort.candidates for effort in efforts.values()),
        max(margins, default=None),
    )
    return TunedIndex(
        {
            QueryType.TEXT: index.with_effort(efforts.get(QueryType.TEXT, highest)),
            QueryType.MEDIA: index.with_effort(highest),
        },
        min(tuning.best.min_recall for tuning in tunings.values()),
        all(tuning.reached for tuning in tunings.values()),
    )
