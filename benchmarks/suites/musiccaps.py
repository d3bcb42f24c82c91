"""`bench run musiccaps`: 5,521 clips of music of ten seconds, and a caption of each.

All clips of the file, which papers seldom have: some videos are gone. So the pool is printed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.datasets.annotation_files import media_files, read_table
from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.types import Medium

TASK: Final = "text to music"
DATA: Final = DataSet(
    title="MusicCaps",
    task=TASK,
    size="5,521 clips, 5,521 captions",
    licence="captions CC BY-SA 4.0; music of YouTube's users",
    source="Agostinelli et al., 2301.11325 (musiccaps-public.csv); "
    "clips cut from YouTube by ytid, start_s and end_s",
    files=("musiccaps-public.csv", "audio/"),
    reported={  # by one harness, the results of mteb, which do not say how many clips it had
        "clap:laion/larger_clap_general": {
            (TASK, "R@1"): 0.062, (TASK, "R@5"): 0.165, (TASK, "R@10"): 0.251
        },
        "msclap-2023": {(TASK, "R@1"): 0.059, (TASK, "R@5"): 0.192, (TASK, "R@10"): 0.279},
        "muq:OpenMuQ/MuQ-MuLan-large": {
            (TASK, "R@1"): 0.036, (TASK, "R@5"): 0.112, (TASK, "R@10"): 0.179
        },
    },
)  # fmt: skip


def read(data: Path) -> Gallery:
    """Clips by the id of their video; each is cut from another."""
    rows = read_table(data / "musiccaps-public.csv", "ytid", "caption")
    return Gallery(
        media_files(data / "audio", [row["ytid"] for row in rows]),
        [Caption(row["ytid"], row["caption"], (row["ytid"],)) for row in rows],
    )


run = RankingSuite("musiccaps", DATA, Medium.AUDIO, read, with_map=True).run
