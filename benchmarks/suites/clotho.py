"""Clotho: 1,045 sounds of 15 to 30 seconds with five captions each.

The evaluation split, as in the DCASE task of language-based audio retrieval, which reports mAP@10.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.datasets.annotation_files import read_table
from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.types import Medium

CAPTIONS: Final = tuple(f"caption_{number}" for number in range(1, 6))


def read(data: Path) -> Gallery:
    """Read recordings by file name, and captions by file name and number."""
    rows = read_table(data / "clotho_captions_evaluation.csv", "file_name", *CAPTIONS)
    return Gallery(
        {row["file_name"]: data / "evaluation" / row["file_name"] for row in rows},
        [
            Caption(f"{row['file_name']}#{number}", row[column], (row["file_name"],))
            for row in rows
            for number, column in enumerate(CAPTIONS, start=1)
        ],
    )


SUITE: Final = RankingSuite(
    name="clotho",
    summary="1,045 sounds of 15 to 30 seconds and five captions each.",
    data_set=DataSet(
        title="Clotho 2.1, evaluation split",
        task="text to sound",
        size="1,045 recordings, 5,225 captions",
        licence="captions for non-commercial use, by Tampere University; "
        "each recording under a Creative Commons licence of its own, from Freesound",
        source="Drossos et al., ICASSP 2020 (Zenodo 4783391)",
        files=("clotho_captions_evaluation.csv", "evaluation/"),
    ),
    medium=Medium.AUDIO,
    read=read,
    reports_map=True,
)
