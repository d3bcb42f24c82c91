"""`bench run msvd`: 670 short videos and all of their captions, about forty each.

The test split of Venugopalan et al. (ICCV 2015). Every caption is a query of its own, and a video
is right about any of its captions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.datasets.annotation_files import media_files
from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.types import Medium

DATA: Final = DataSet(
    title="MSVD (YouTube2Text), test split",
    task="text to video",
    size="670 videos, 27,763 captions",
    licence="for research; videos of YouTube's users",
    source="Chen and Dolan, ACL 2011 (videos and AllVideoDescriptions.txt); "
    "test_list.txt comes with CLIP4Clip",
    files=("test_list.txt", "AllVideoDescriptions.txt", "YouTubeClips/"),
)


def read(data: Path) -> Gallery:
    """Videos by their id, as `mv89psg6zh4_33_46`; captions by their number."""
    names = dict.fromkeys((data / "test_list.txt").read_text("utf-8").split())
    # A stray byte of another encoding costs a letter, not the run.
    lines = (data / "AllVideoDescriptions.txt").read_text("utf-8", errors="replace").splitlines()
    described = (line.strip().partition(" ") for line in lines)
    asked = [(name, text) for name, _, text in described if name in names and text]
    return Gallery(
        media_files(data / "YouTubeClips", names),
        [Caption(str(number), text, (name,)) for number, (name, text) in enumerate(asked)],
    )


run = RankingSuite("msvd", DATA, Medium.VIDEO, read).run
