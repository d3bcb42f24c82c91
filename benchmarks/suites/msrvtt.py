"""MSR-VTT: 1,000 videos with one caption each, the split that papers call 1k-A.

The split of Yu, Kim and Kim (ECCV 2018). Papers average the frames of a video, so their figures
compare with the rows `mean of segments`. Dual softmax and query banks are not used, because they
read the other queries.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.datasets.annotation_files import media_files, read_table
from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.types import Medium

FORWARD: Final = ("text to video", "R@1")


def read(data: Path) -> Gallery:
    """Read videos by id, such as `video9770`."""
    rows = read_table(data / "MSRVTT_JSFUSION_test.csv", "key", "video_id", "sentence")
    return Gallery(
        media_files(data / "MSRVTT_Videos", [row["video_id"] for row in rows]),
        [Caption(row["key"], row["sentence"], (row["video_id"],)) for row in rows],
    )


SUITE: Final = RankingSuite(
    name="msrvtt",
    summary="1,000 videos and one caption each, the split that papers call 1k-A.",
    data_set=DataSet(
        title="MSR-VTT, 1k-A",
        task="text to video",
        size="1,000 videos, 1,000 captions",
        licence="for research; videos of YouTube's users",
        source="Xu et al., CVPR 2016 (videos); MSRVTT_JSFUSION_test.csv comes with CLIP4Clip",
        files=("MSRVTT_JSFUSION_test.csv", "MSRVTT_Videos/"),
        reported={
            "open_clip:ViT-B-32/openai": {FORWARD: 0.312},
            "open_clip:PE-Core-B-16/meta": {FORWARD: 0.476},
            "open_clip:PE-Core-L-14-336/meta": {FORWARD: 0.503},
            "open_clip:PE-Core-bigG-14-448/meta": {FORWARD: 0.512},
            "LanguageBind": {FORWARD: 0.428},
        },
    ),
    medium=Medium.VIDEO,
    read=read,
)
