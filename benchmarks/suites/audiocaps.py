"""AudioCaps: 975 sounds of ten seconds with five captions each.

The test split of the first release. Some videos are no longer available, so the pools of papers
differ; results show the size of the pool.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.datasets.annotation_files import media_files, read_table
from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.types import Medium


def read(data: Path) -> Gallery:
    """Read clips by the id of their video; each clip is cut from another video."""
    rows = read_table(data / "test.csv", "audiocap_id", "youtube_id", "caption")
    return Gallery(
        media_files(data / "audio", dict.fromkeys(row["youtube_id"] for row in rows)),
        [Caption(row["audiocap_id"], row["caption"], (row["youtube_id"],)) for row in rows],
    )


SUITE: Final = RankingSuite(
    name="audiocaps",
    summary="975 sounds of ten seconds and five captions each.",
    data_set=DataSet(
        title="AudioCaps, test split",
        task="text to sound",
        size="975 clips, 4,875 captions",
        licence="captions for academic use only; sounds of YouTube's users",
        source="Kim et al., NAACL 2019 (github.com/cdjkim/audiocaps); "
        "clips cut from YouTube by youtube_id and start_time",
        files=("test.csv", "audio/"),
    ),
    medium=Medium.AUDIO,
    read=read,
    reports_map=True,
)
