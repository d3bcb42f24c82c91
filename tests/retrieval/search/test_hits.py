from dataclasses import fields, replace

import numpy as np
import pytest

from retrieval.search.hits import with_values
from retrieval.types import Hit, Medium

HIT = Hit(
    rank=3, score=0.5, item_id=7, uri="/a.jpg", modality=Medium.IMAGE, medium=Medium.IMAGE,
    start_seconds=None, end_seconds=None, space="s", likely=True, metadata={"year": 1990},
    vector=np.ones(2, np.float32), text_score=1.5,
)  # fmt: skip


def test_a_copy_with_other_values_equals_that_of_dataclasses() -> None:
    copy = with_values(HIT, rank=4, missing=True)
    assert copy == replace(HIT, rank=4, missing=True)
    assert HIT.rank == 3
    for field in fields(Hit):  # also those that are not compared
        if field.name not in ("rank", "missing"):
            assert getattr(copy, field.name) is getattr(HIT, field.name)


def test_an_unknown_value_fails() -> None:
    with pytest.raises(AttributeError):
        with_values(HIT, position=1)
