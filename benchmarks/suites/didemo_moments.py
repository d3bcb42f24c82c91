"""`bench run didemo-moments`: moments of half a minute of home video from a sentence, DiDeMo.

The test split. Annotators marked segments of five seconds; a true window is the one that most of
them chose, and both count where two were chosen as often. Papers that ask of one video only rank
its 21 possible windows instead, and average over the three annotators who agree best: their
figures are others. Only the first 30 seconds of a video were annotated: give videos that are cut
there. Hendricks et al., ICCV 2017 (1708.01641).
"""

from __future__ import annotations

from typing import Final

from benchmarks.datasets.dataset import DataSet
from benchmarks.moments.suite import MomentSuite

DATA: Final = DataSet(
    title="DiDeMo, test split, moments",
    task="moment in the true video, moment in the corpus",
    size="1,037 videos of 25 to 30 s, 4,021 queries",
    licence="descriptions BSD-2-Clause; videos of Flickr's users, Creative Commons",
    source="Hendricks et al., ICCV 2017 (github.com/LisaAnne/LocalizingMoments)",
    files=("test_data.json", "videos/"),
)

SUITE: Final = MomentSuite(
    name="didemo-moments", data_set=DATA, learnt=("train_data.json",), corpus=True
)
run = SUITE.run
