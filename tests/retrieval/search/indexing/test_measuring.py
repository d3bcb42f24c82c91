import numpy as np
import pytest

from contracts.index_contract import DIM, unit_vectors
from indexes.building import build_approximate, build_exact
from indexes.effort import Effort
from indexes.faiss import FaissIndex
from retrieval.search import media_samples
from retrieval.search.calibration import QueryType
from retrieval.search.index_files import RowTable
from retrieval.search.indexing.measuring import measure_calibration, measure_index
from retrieval.search.indexing.tuning_queries import query_samples
from retrieval.types import Medium

IMAGE, AUDIO, VIDEO = 0, 1, 2


def row_table(item_ids: list[int], media: list[int]) -> RowTable:
    times = np.zeros(len(item_ids), np.float32)
    return RowTable(np.array(item_ids, np.int64), np.array(media, np.int8), times, times)


def index_of(vectors: np.ndarray) -> FaissIndex:
    return FaissIndex(build_exact([vectors], vectors.shape[1]))


def test_recall_and_latency_are_measured_by_query_type() -> None:
    vectors = unit_vectors(300)
    part = build_approximate("IVF8,SQ8", vectors, [vectors])
    index = FaissIndex(build_exact([vectors], DIM), part, Effort(8, 200))
    samples = query_samples(index, unit_vectors(40, seed=1))
    measured = measure_index(dict.fromkeys(samples, index), samples, 9_000)
    assert measured.recall == {
        QueryType.TEXT: {1: 1.0, 10: 1.0, 100: 1.0},
        QueryType.MEDIA: {1: 1.0, 10: 1.0, 100: 1.0},
    }
    assert set(measured.latency_ms) == {1, 32}
    assert all(0 < p50 <= p99 for p50, p99 in measured.latency_ms.values())
    assert measured.bytes_per_row == 30
    assert measured.peak_mib > 0


def test_calibration_by_hand() -> None:
    """Two pictures and a two-segment video on the axes; texts along the axes too."""
    axes = np.eye(4, DIM, dtype=np.float32)
    near = (axes[0] * 0.6 + axes[1] * 0.8)[None]
    vectors = np.concatenate([axes[:1], near, axes[2:4]])
    rows = row_table([0, 1, 2, 2], [IMAGE, IMAGE, VIDEO, VIDEO])
    statistics = measure_calibration(index_of(vectors), rows, axes[[0, 1]])
    by_key = {(entry.query, entry.medium): entry for entry in statistics}
    texts = by_key[QueryType.TEXT, Medium.IMAGE]
    assert texts.mean == pytest.approx((1.0 + 0.8) / 2, abs=1e-3)
    assert texts.deviation == pytest.approx(0.1, abs=1e-3)
    # Each picture's best other picture scores 0.6.
    media = by_key[QueryType.MEDIA, Medium.IMAGE]
    assert media.mean == pytest.approx(0.6, abs=1e-3)
    # The only video has no other video; there is no sound at all.
    assert set(by_key) == {
        (QueryType.TEXT, Medium.IMAGE),
        (QueryType.MEDIA, Medium.IMAGE),
        (QueryType.TEXT, Medium.VIDEO),
    }


def test_a_long_recording_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own 100 equal rows fill the first answer; the other item scores 0.6."""
    monkeypatch.setattr(media_samples, "NEIGHBOURS", 8)
    axes = np.eye(2, DIM, dtype=np.float32)
    vectors = np.concatenate(
        [np.repeat(axes[:1], 100, axis=0), (axes[0] * 0.6 + axes[1] * 0.8)[None]]
    )
    rows = row_table([0] * 100 + [1], [AUDIO] * 101)
    _, media = measure_calibration(index_of(vectors), rows, axes)
    assert (media.query, media.medium) == (QueryType.MEDIA, Medium.AUDIO)
    assert media.mean == pytest.approx(0.6, abs=1e-3)
    assert media.deviation == pytest.approx(1e-3)
