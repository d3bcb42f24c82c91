"""`bench run audiocaps`: 975 sounds of ten seconds and five captions each.

The test split of the first release. Some of its videos are gone, so papers have pools of several
sizes: ours is printed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.datasets.annotation_files import media_files, read_table
from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.types import Medium

DATA: Final = DataSet(
    title="AudioCaps, test split",
    task="text to sound",
    size="975 clips, 4,875 captions",
    licence="captions for academic use only; sounds of YouTube's users",
    source="Kim et al., NAACL 2019 (github.com/cdjkim/audiocaps); "
    "clips cut from YouTube by youtube_id and start_time",
    files=("test.csv", "audio/"),
)


def read(data: Path) -> Gallery:
    """Clips by the id of their video; each is cut from another."""
    rows = read_table(data / "test.csv", "audiocap_id", "youtube_id", "caption")
    return Gallery(
        media_files(data / "audio", dict.fromkeys(row["youtube_id"] for row in rows)),
        [Caption(row["audiocap_id"], row["caption"], (row["youtube_id"],)) for row in rows],
    )


run = RankingSuite("audiocaps", DATA, Medium.AUDIO, read, with_map=True).run
