"""MusicCaps: 5,521 clips of music of ten seconds with one caption each.

All clips of the file. Papers often use fewer, because some videos are no longer available, so
results show the size of the pool.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.datasets.annotation_files import media_files, read_table
from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.types import Medium

TASK: Final = "text to music"


def read(data: Path) -> Gallery:
    """Read clips by the id of their video; each clip is cut from another video."""
    rows = read_table(data / "musiccaps-public.csv", "ytid", "caption")
    return Gallery(
        media_files(data / "audio", [row["ytid"] for row in rows]),
        [Caption(row["ytid"], row["caption"], (row["ytid"],)) for row in rows],
    )


SUITE: Final = RankingSuite(
    name="musiccaps",
    summary="5,521 clips of music of ten seconds, and a caption of each.",
    data_set=DataSet(
        title="MusicCaps",
        task=TASK,
        size="5,521 clips, 5,521 captions",
        licence="captions CC BY-SA 4.0; music of YouTube's users",
        source="Agostinelli et al., 2301.11325 (musiccaps-public.csv); "
        "clips cut from YouTube by ytid, start_s and end_s",
        files=("musiccaps-public.csv", "audio/"),
        reported={  # results of mteb, which does not report its number of clips
            "clap:laion/larger_clap_general": {
                (TASK, "R@1"): 0.062, (TASK, "R@5"): 0.165, (TASK, "R@10"): 0.251
            },
            "msclap-2023": {(TASK, "R@1"): 0.059, (TASK, "R@5"): 0.192, (TASK, "R@10"): 0.279},
            "muq:OpenMuQ/MuQ-MuLan-large": {
                (TASK, "R@1"): 0.036, (TASK, "R@5"): 0.112, (TASK, "R@10"): 0.179
            },
        },
    ),
    medium=Medium.AUDIO,
    read=read,
    reports_map=True,
)  # fmt: skip
