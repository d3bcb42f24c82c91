"""TVR: moments of television series from a sentence, in one clip and in all clips.

The validation split, because the windows of the public test split are not published. Queries about
dialogue need subtitles. If the folder has them, they are the texts of the videos, and vectors are
compared with words: queries of the official type `v` describe the video, `t` the subtitles, and
`vt` both. Lei et al., ECCV 2020 (2001.09099). `benchmarks.score.tvr` computes the official metrics
of a prediction file.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.datasets.dataset import DataSet
from benchmarks.datasets.tvr_subtitles import SUBTITLES, read_groups, read_subtitles
from benchmarks.moments.scoring import IN_CORPUS, corpus_metric
from benchmarks.moments.suite import HybridTexts, MomentSuite

logger = logging.getLogger(__name__)

QUERIES: Final = "tvr_val_release.jsonl"


def read_texts(data: Path, videos: Sequence[str]) -> HybridTexts | None:
    """Read the subtitles of videos and the official types of queries; None without subtitles."""
    path = data / SUBTITLES
    if not path.is_file():
        logger.info("%s is missing: vectors are not compared with subtitles", path)
        return None
    return HybridTexts(read_subtitles(path, videos), read_groups(data / QUERIES))


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
        files=(QUERIES, "videos/"),
        reported={
            "XML, test split": {(IN_CORPUS, corpus_metric(1, 0.7)): 0.0325},
            "HERO, test split": {(IN_CORPUS, corpus_metric(1, 0.7)): 0.0621},
        },
    ),
    training_files=("tvr_train_release.jsonl",),
    searches_corpus=True,
    read_texts=read_texts,
)
