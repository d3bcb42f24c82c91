import numpy as np
import pytest

from contracts.index_contract import DIM, unit_vectors
from indexes.faiss import FaissIndex, build_approximate, build_exact
from retrieval.search import measuring
from retrieval.search.calibration import QueryKind
from retrieval.search.index_files import RowTable
from retrieval.search.measuring import (
    measure_calibration,
    measure_recall,
    recall_at_10,
    sample_rows,
)
from retrieval.types import Medium

IMAGE, AUDIO, VIDEO = 0, 1, 2


def row_table(item_ids: list[int], media: list[int]) -> RowTable:
    times = np.zeros(len(item_ids), np.float32)
    return RowTable(np.array(item_ids, np.int64), np.array(media, np.int8), times, times)


def index_of(vectors: np.ndarray, factory: str | None = None, **options: int) -> FaissIndex:
    exact = build_exact([vectors], vectors.shape[1])
    part = build_approximate(factory, vectors, [vectors], **options) if factory else None
    return FaissIndex(exact, part)


def test_recall_of_an_index_that_visits_everything_is_one() -> None:
    index = index_of(unit_vectors(300), "IVF8,SQ8", nprobe=8)
    assert measure_recall(index, unit_vectors(20, seed=1)) == {
        QueryKind.TEXT: 1.0,
        QueryKind.MEDIA: 1.0,
    }


def test_recall_is_the_share_of_exact_neighbours_found() -> None:
    """Counted by hand from the two answers, the row itself left out."""
    vectors = unit_vectors(400)
    index = index_of(vectors, "IVF40,SQ8", nprobe=1)
    own = np.arange(0, 400, 7)
    shares = []
    for row in own:
        query = vectors[row : row + 1]
        want = [i for i in index.search(query, 11, exact=True)[1][0] if i != row][:10]
        got = [i for i in index.search(query, 11)[1][0] if i != row][:10]
        shares.append(len(set(want) & set(got)) / 10)
    assert 0 < np.mean(shares) < 1
    assert recall_at_10(index, vectors[own], own) == pytest.approx(np.mean(shares), abs=1e-4)


def test_equal_vectors_count_whichever_is_found() -> None:
    """Forty equal rows: any ten of them are a perfect answer."""
    vectors = np.concatenate([np.repeat(unit_vectors(1), 40, axis=0), unit_vectors(60, seed=2)])
    index = index_of(vectors, "HNSW8,SQ8")
    assert recall_at_10(index, vectors[:5], np.arange(5)) == 1.0


def test_recall_where_nothing_can_be_found_is_one() -> None:
    assert recall_at_10(index_of(unit_vectors(1)), unit_vectors(1), np.array([0])) == 1.0
    assert recall_at_10(index_of(unit_vectors(3)), unit_vectors(0), None) == 1.0


def test_calibration_by_hand() -> None:
    """Two pictures and a two-segment video on the axes; texts along the axes too."""
    axes = np.eye(4, DIM, dtype=np.float32)
    near = (axes[0] * 0.6 + axes[1] * 0.8)[None]
    vectors = np.concatenate([axes[:1], near, axes[2:4]])
    rows = row_table([0, 1, 2, 2], [IMAGE, IMAGE, VIDEO, VIDEO])
    calibration = measure_calibration(index_of(vectors), rows, axes[[0, 1]])
    texts = calibration.background(QueryKind.TEXT, Medium.IMAGE)
    assert texts.mean == pytest.approx((1.0 + 0.8) / 2, abs=1e-3)
    assert texts.deviation == pytest.approx(0.1, abs=1e-3)
    # Each picture's best other picture scores 0.6.
    media = calibration.background(QueryKind.MEDIA, Medium.IMAGE)
    assert media.mean == pytest.approx(0.6, abs=1e-3)
    # The only video has no other video; there is no sound at all.
    assert set(calibration.backgrounds) == {
        (QueryKind.TEXT, Medium.IMAGE),
        (QueryKind.MEDIA, Medium.IMAGE),
        (QueryKind.TEXT, Medium.VIDEO),
    }


def test_a_long_recording_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own 100 equal rows fill the first answer; the other item scores 0.6."""
    monkeypatch.setattr(measuring, "NEIGHBOURS", 8)
    axes = np.eye(2, DIM, dtype=np.float32)
    vectors = np.concatenate(
        [np.repeat(axes[:1], 100, axis=0), (axes[0] * 0.6 + axes[1] * 0.8)[None]]
    )
    rows = row_table([0] * 100 + [1], [AUDIO] * 101)
    media = measure_calibration(index_of(vectors), rows, axes).background(
        QueryKind.MEDIA, Medium.AUDIO
    )
    assert media.mean == pytest.approx(0.6, abs=1e-3)
    assert media.deviation == pytest.approx(1e-3)


def test_samples_are_ascending_distinct_and_repeatable() -> None:
    rows = np.arange(5, 1000, 3)
    sample = sample_rows(rows, 50)
    assert len(sample) == 50
    assert (np.diff(sample) > 0).all()
    assert np.isin(sample, rows).all()
    np.testing.assert_array_equal(sample, sample_rows(rows, 50))
    np.testing.assert_array_equal(sample_rows(rows[:9], 50), rows[:9])
