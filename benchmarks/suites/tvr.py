"""TVR: moments of television series from a sentence, in one clip and in all clips.

The validation split, because the windows of the public test split are not published. Queries about
dialogue need subtitles, which no model here reads. Lei et al., ECCV 2020 (2001.09099).
`benchmarks.score.tvr` computes the official metrics of a prediction file.
"""

from __future__ import annotations

from typing import Final

from benchmarks.datasets.dataset import DataSet
from benchmarks.moments.scoring import IN_CORPUS, corpus_metric
from benchmarks.moments.suite import MomentSuite

SUITE: Final = MomentSuite(
    name="tvr",
    summary="moments of television series from a sentence, in one clip and in all.",
    data_set=DataSet(
        title="TVR, validation split",
        task="moment in the true video, moment in the corpus",
        size="2,179 videos, 10,895 queries",
        licence="annotations MIT; the series' owners hold the videos' rights",
        source="Lei et al., ECCV 2020 (github.com/jayleicn/TVRetrieval, data); the videos, as "
        "frames, from TVQA's authors for a signed form: make them videos named by vid_name",
        files=("tvr_val_release.jsonl", "videos/"),
        reported={
            "XML, test split": {(IN_CORPUS, corpus_metric(1, 0.7)): 0.0325},
            "HERO, test split": {(IN_CORPUS, corpus_metric(1, 0.7)): 0.0621},
        },
    ),
    training_files=("tvr_train_release.jsonl",),
    searches_corpus=True,
)
