"""`bench run clotho`: 1,045 sounds of 15 to 30 seconds and five captions each.

The evaluation split, as in DCASE's task of language-based audio retrieval, which prints mAP@10.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.datasets.annotation_files import read_table
from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.types import Medium

CAPTIONS: Final = tuple(f"caption_{number}" for number in range(1, 6))

DATA: Final = DataSet(
    title="Clotho 2.1, evaluation split",
    task="text to sound",
    size="1,045 recordings, 5,225 captions",
    licence="captions for non-commercial use, by Tampere University; "
    "each recording under a Creative Commons licence of its own, from Freesound",
    source="Drossos et al., ICASSP 2020 (Zenodo 4783391)",
    files=("clotho_captions_evaluation.csv", "evaluation/"),
)


def read(data: Path) -> Gallery:
    """Recordings by their file's name; captions by it and their number."""
    rows = read_table(data / "clotho_captions_evaluation.csv", "file_name", *CAPTIONS)
    return Gallery(
        {row["file_name"]: data / "evaluation" / row["file_name"] for row in rows},
        [
            Caption(f"{row['file_name']}#{number}", row[column], (row["file_name"],))
            for row in rows
            for number, column in enumerate(CAPTIONS, start=1)
        ],
    )


run = RankingSuite("clotho", DATA, Medium.AUDIO, read, with_map=True).run
