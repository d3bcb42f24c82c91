"""VATEX: 1,500 videos of ten seconds with ten English captions each.

The half of the validation set that Chen et al. (HGR, CVPR 2020) chose as a test set, because the
official test set has no public captions.
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
    """Read videos by id, such as `YOUTUBEID_000010_000020`, and captions by id and number."""
    names = (data / "test_list.txt").read_text("utf-8").split()
    entries = json.loads((data / "vatex_validation_v1.0.json").read_bytes())
    captions = {entry["videoID"]: entry["enCap"] for entry in entries}
    return Gallery(
        media_files(data / "videos", names),
        [
            Caption(f"{name}#{number}", text, (name,))
            for name in names
            for number, text in enumerate(captions[name])
        ],
    )


SUITE: Final = RankingSuite(
    name="vatex",
    summary="1,500 videos of ten seconds and ten English captions each.",
    data_set=DataSet(
        title="VATEX, English, HGR's test split",
        task="text to video",
        size="1,500 videos, 15,000 captions",
        licence="captions for research, see vatex.org; videos of YouTube's users",
        source="Wang et al., ICCV 2019 (vatex.org); test_list.txt, an id a line, "
        "comes with HGR's data",
        files=("vatex_validation_v1.0.json", "test_list.txt", "videos/"),
    ),
    medium=Medium.VIDEO,
    read=read,
)
