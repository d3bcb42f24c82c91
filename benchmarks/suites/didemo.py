"""DiDeMo: 1,037 videos with a paragraph each, all descriptions of the video.

The official test file. Papers use 1,003 or 1,004 of its videos, as far as they could get them, and
the first 30 seconds, which annotators saw. Cut the videos there for comparable figures.
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
    """Read videos by their official name; files may have a further extension."""
    paragraphs: dict[str, list[str]] = {}
    for moment in json.loads((data / "test_data.json").read_bytes()):
        paragraphs.setdefault(moment["video"], []).append(moment["description"].strip())
    return Gallery(
        media_files(data / "videos", paragraphs),
        [Caption(name, " ".join(texts), (name,)) for name, texts in paragraphs.items()],
    )


SUITE: Final = RankingSuite(
    name="didemo",
    summary="1,037 videos and a paragraph each, all of a video's descriptions in a row.",
    data_set=DataSet(
        title="DiDeMo, test split, paragraph to video",
        task="text to video",
        size="1,037 videos, 1,037 paragraphs",
        licence="descriptions BSD-2-Clause; videos of Flickr's users, Creative Commons",
        source="Hendricks et al., ICCV 2017 (LocalizingMoments)",
        files=("test_data.json", "videos/"),
    ),
    medium=Medium.VIDEO,
    read=read,
)
