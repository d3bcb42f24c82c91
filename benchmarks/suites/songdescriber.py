"""Song Describer: 706 pieces of music of two minutes with 1,106 captions.

All captions, not only the validated subset. Papers compare one vector per piece, the mean over its
windows, so their figures compare with the rows `mean of segments`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.datasets.annotation_files import read_table
from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.types import Medium


def read(data: Path) -> Gallery:
    """Read recordings by track id; the file of `00/18500.mp3` is `00/18500.2min.mp3`."""
    rows = read_table(data / "song_describer.csv", "caption_id", "track_id", "caption", "path")
    return Gallery(
        {row["track_id"]: (data / "audio" / row["path"]).with_suffix(".2min.mp3") for row in rows},
        [Caption(row["caption_id"], row["caption"], (row["track_id"],)) for row in rows],
    )


SUITE: Final = RankingSuite(
    name="songdescriber",
    summary="706 pieces of music of two minutes, and 1,106 captions.",
    data_set=DataSet(
        title="Song Describer",
        task="text to music",
        size="706 recordings, 1,106 captions",
        licence="captions CC BY-SA 4.0; each recording under a Creative Commons licence of its own",
        source="Manco et al., 2311.10057 (Zenodo 10072001: song_describer.csv and audio.zip)",
        files=("song_describer.csv", "audio/"),
    ),
    medium=Medium.AUDIO,
    read=read,
    reports_map=True,
)
