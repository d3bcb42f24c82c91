from __future__ import annotations

import numpy as np
import pytest

from retrieval.store.space_rows import single_precision


@pytest.mark.parametrize("start", [0.0, 1.0, 2.0**24, 30_000_000.0, 40_000_001.0])
def test_field_07_no_span_is_emptied_by_rounding(start: float) -> None:
    starts, ends = single_precision(np.array([start, np.nan]), np.array([start + 0.25, np.nan]))
    assert starts.dtype == ends.dtype == np.float32
    assert starts[0] < ends[0]
    assert ends[0] - start <= max(0.25, np.spacing(np.float32(start)))
    assert np.isnan([starts[1], ends[1]]).all()


def test_field_07_an_empty_span_stays_empty() -> None:
    starts, ends = single_precision(np.array([3.0]), np.array([3.0]))
    assert (starts, ends) == ([3.0], [3.0])
