"""DiDeMo: moments of home videos of half a minute from a sentence.

The test split. Annotators marked segments of five seconds. The true window is the one that most
annotators chose; if two windows were chosen equally often, both are true. Some papers rank the 21
possible windows of one video and average over the three annotators that agree best; their figures
are not comparable. Only the first 30 seconds of a video were annotated: cut the videos there.
Hendricks et al., ICCV 2017 (1708.01641).
"""

from __future__ import annotations

from typing import Final

from benchmarks.datasets.dataset import DataSet
from benchmarks.moments.suite import MomentSuite

SUITE: Final = MomentSuite(
    name="didemo-moments",
    summary="moments of half a minute of home video from a sentence, DiDeMo.",
    data_set=DataSet(
        title="DiDeMo, test split, moments",
        task="moment in the true video, moment in the corpus",
        size="1,037 videos of 25 to 30 s, 4,021 queries",
        licence="descriptions BSD-2-Clause; videos of Flickr's users, Creative Commons",
        source="Hendricks et al., ICCV 2017 (github.com/LisaAnne/LocalizingMoments)",
        files=("test_data.json", "videos/"),
    ),
    training_files=("train_data.json",),
    searches_corpus=True,
)
