"""MusicCaps: 5,521 clips of music of ten seconds with one caption each.

All clips of the file. Papers often use fewer, because some videos are no longer available, so
results show the size of the pool.

Every second clip has its aspects, such as `mellow piano melody`, as texts, one tag each. Captions
of the other clips are queries that only vectors can answer. The same person wrote the caption and
the aspects of a clip, so they share words. The data set has no queries that only words can answer.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.datasets.annotation_files import media_files, read_table
from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.errors import short_repr
from retrieval.types import Medium, TextSource, TimedText

TASK: Final = "text to music"


def read(data: Path) -> Gallery:
    """Read clips by the id of their video; each clip is cut from another video."""
    path = data / "musiccaps-public.csv"
    rows = read_table(path, "ytid", "caption", "aspect_list", check=aspects)
    return Gallery(
        media_files(data / "audio", [row["ytid"] for row in rows]),
        [Caption(row["ytid"], row["caption"], (row["ytid"],)) for row in rows],
        {
            row["ytid"]: [TimedText(TextSource.TAG, aspect) for aspect in aspects(row)]
            for row in rows[1::2]
        },
    )


def aspects(row: Mapping[str, str]) -> list[str]:
    """Parse the aspects of a clip, such as `['low quality', 'sad']`.

    Raises:
        ValueError: The column is not a list of texts.
    """
    text = row["aspect_list"]
    try:
        parsed = ast.literal_eval(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"aspect_list is {short_repr(text)}, expected a list of texts") from error
    if not isinstance(parsed, list) or not all(isinstance(each, str) for each in parsed):
        raise ValueError(f"aspect_list is {short_repr(text)}, expected a list of texts")
    return [aspect.strip() for aspect in parsed if aspect.strip()]


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
