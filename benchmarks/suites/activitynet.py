"""ActivityNet Captions: 4,917 videos with a paragraph each, all sentences of the video.

Part 1 of the validation set, as in Zhang, Hu and Sha (ECCV 2018).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from benchmarks.datasets.annotation_files import media_files
from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.types import Medium


def read(data: Path) -> Gallery:
    """Read videos by id, such as `v_uqiMw7tQ1Cc`."""
    videos = json.loads((data / "val_1.json").read_bytes())
    return Gallery(
        media_files(data / "videos", videos),
        [
            Caption(name, " ".join(sentence.strip() for sentence in video["sentences"]), (name,))
            for name, video in videos.items()
        ],
    )


SUITE: Final = RankingSuite(
    name="activitynet",
    summary="4,917 videos and a paragraph each, all of a video's sentences in a row.",
    data_set=DataSet(
        title="ActivityNet Captions, val_1, paragraph to video",
        task="text to video",
        size="4,917 videos, 4,917 paragraphs",
        licence="captions for research; videos of YouTube's users",
        source="Krishna et al., ICCV 2017 (captions.zip); activity-net.org (videos)",
        files=("val_1.json", "videos/"),
    ),
    medium=Medium.VIDEO,
    read=read,
)
