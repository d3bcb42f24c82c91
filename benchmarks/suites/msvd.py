"""MSVD: 670 short videos with about forty captions each.

The test split of Venugopalan et al. (ICCV 2015). Each caption is one query; all captions of a
video are relevant to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.datasets.annotation_files import media_files
from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.types import Medium


def read(data: Path) -> Gallery:
    """Read videos by id, such as `mv89psg6zh4_33_46`, and captions by number."""
    names = dict.fromkeys((data / "test_list.txt").read_text("utf-8").split())
    # A byte in another encoding must not fail the run.
    lines = (data / "AllVideoDescriptions.txt").read_text("utf-8", errors="replace").splitlines()
    described = (line.strip().partition(" ") for line in lines)
    captions = [(name, text) for name, _, text in described if name in names and text]
    return Gallery(
        media_files(data / "YouTubeClips", names),
        [Caption(str(number), text, (name,)) for number, (name, text) in enumerate(captions)],
    )


SUITE: Final = RankingSuite(
    name="msvd",
    summary="670 short videos and all of their captions, about forty each.",
    data_set=DataSet(
        title="MSVD (YouTube2Text), test split",
        task="text to video",
        size="670 videos, 27,763 captions",
        licence="for research; videos of YouTube's users",
        source="Chen and Dolan, ACL 2011 (videos and AllVideoDescriptions.txt); "
        "test_list.txt comes with CLIP4Clip",
        files=("test_list.txt", "AllVideoDescriptions.txt", "YouTubeClips/"),
    ),
    medium=Medium.VIDEO,
    read=read,
)
