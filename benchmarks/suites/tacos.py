"""TACoS: short moments of long cooking videos from a sentence.

The test split. Regneri et al., TACL 2013, in the selection of Zhang et al., AAAI 2020 (2D-TAN,
1912.03590).
"""

from __future__ import annotations

from typing import Final

from benchmarks.datasets.dataset import DataSet
from benchmarks.moments.suite import MomentSuite

SUITE: Final = MomentSuite(
    name="tacos",
    summary="short moments of long cooking videos from a sentence, TACoS's test split.",
    data_set=DataSet(
        title="TACoS, test split of 2D-TAN",
        task="moment in the true video",
        size="25 videos of about six minutes, 4,001 queries",
        licence="annotations and videos (MPII Cooking 2) for research",
        source="Zhang et al., AAAI 2020 (github.com/microsoft/2D-TAN, data/TACoS), or lighthouse "
        "(github.com/line/lighthouse); videos from MPII Cooking 2",
        files=("tacos_test_release.jsonl", "videos/"),
        alternatives=("test.json",),
    ),
    training_files=("tacos_train_release.jsonl", "train.json"),
)
