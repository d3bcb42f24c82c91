"""`bench run activitynet`: 4,917 videos and a paragraph each, all of a video's sentences in a row.

Part 1 of the validation set of ActivityNet Captions, as Zhang, Hu and Sha (ECCV 2018) have it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from benchmarks.datasets.annotation_files import media_files
from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.types import Medium

DATA: Final = DataSet(
    title="ActivityNet Captions, val_1, paragraph to video",
    task="text to video",
    size="4,917 videos, 4,917 paragraphs",
    licence="captions for research; videos of YouTube's users",
    source="Krishna et al., ICCV 2017 (captions.zip); activity-net.org (videos)",
    files=("val_1.json", "videos/"),
)


def read(data: Path) -> Gallery:
    """Videos by their id, as `v_uqiMw7tQ1Cc`."""
    videos = json.loads((data / "val_1.json").read_bytes())
    return Gallery(
        media_files(data / "videos", videos),
        [
            Caption(name, " ".join(sentence.strip() for sentence in video["sentences"]), (name,))
            for name, video in videos.items()
        ],
    )


run = RankingSuite("activitynet", DATA, Medium.VIDEO, read).run
