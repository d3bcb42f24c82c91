"""ActivityNet Captions: moments of long videos from a sentence.

Part 1 of the validation set. Krishna et al., ICCV 2017 (1705.00754).
"""

from __future__ import annotations

from typing import Final

from benchmarks.datasets.dataset import DataSet
from benchmarks.moments.suite import MomentSuite

SUITE: Final = MomentSuite(
    name="activitynet-moments",
    summary="moments of long videos from a sentence, ActivityNet Captions.",
    data_set=DataSet(
        title="ActivityNet Captions, val_1, moments",
        task="moment in the true video, moment in the corpus",
        size="4,917 videos, 17,505 queries",
        licence="captions for research; videos of YouTube's users",
        source="Krishna et al., ICCV 2017 (captions.zip), or lighthouse "
        "(github.com/line/lighthouse); activity-net.org (videos)",
        files=("val_1.json", "videos/"),
        alternatives=("activitynet_val_release.jsonl",),
    ),
    training_files=("train.json", "activitynet_train_release.jsonl"),
    searches_corpus=True,
)
