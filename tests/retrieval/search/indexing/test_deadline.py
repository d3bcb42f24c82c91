import numpy as np
import pytest

from indexes.errors import IndexBuildError
from retrieval.search.indexing.deadline import Deadline, OutOfTimeError


def test_field_57_a_trial_that_is_filling_an_index_stops() -> None:
    rows = np.zeros((2_500, 4), np.float32)
    assert [len(block) for block in Deadline(60).blocks(rows)] == [1_000, 1_000, 500]
    with pytest.raises(OutOfTimeError):
        next(Deadline(1e-9).blocks(rows))
    for seconds in (0, -1, float("nan")):
        with pytest.raises(IndexBuildError, match="above 0 seconds"):
            Deadline(seconds)
