"""ESC-50: 2,000 sounds of 50 classes, queried by the names of the classes.

R@1 of `sound to text` is the zero-shot accuracy of papers. Nothing is trained, so all five folds
are used together. A class has 40 sounds, so mAP@10 of `text to sound` is at most 0.25.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.datasets.annotation_files import read_table
from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.types import Medium

TEMPLATE: Final = "the sound of {}"


def read(data: Path) -> Gallery:
    """Read recordings by file name, and one text per class."""
    classes: dict[str, list[str]] = {}
    for row in read_table(data / "meta" / "esc50.csv", "filename", "category"):
        classes.setdefault(row["category"], []).append(row["filename"])
    return Gallery(
        {name: data / "audio" / name for names in classes.values() for name in names},
        [
            Caption(label, TEMPLATE.format(label.replace("_", " ")), tuple(names))
            for label, names in classes.items()
        ],
    )


SUITE: Final = RankingSuite(
    name="esc50",
    summary="2,000 sounds of 50 classes, by the names of the classes.",
    data_set=DataSet(
        title="ESC-50",
        task="text to sound",
        size="2,000 recordings, 50 classes",
        licence="CC BY-NC 3.0",
        source="Piczak, ACM Multimedia 2015 (github.com/karolpiczak/ESC-50)",
        files=("meta/esc50.csv", "audio/"),
    ),
    medium=Medium.AUDIO,
    read=read,
    reports_map=True,
)
