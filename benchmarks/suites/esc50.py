"""`bench run esc50`: 2,000 sounds of 50 classes, by what the classes are called.

R@1 of `sound to text` is what papers call zero-shot accuracy: nothing is trained, so all five folds
are asked together. A class has 40 sounds, so mAP@10 of `text to sound` can reach 0.25.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.datasets.annotation_files import read_table
from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.types import Medium

TEMPLATE: Final = "the sound of {}"

DATA: Final = DataSet(
    title="ESC-50",
    task="text to sound",
    size="2,000 recordings, 50 classes",
    licence="CC BY-NC 3.0",
    source="Piczak, ACM Multimedia 2015 (github.com/karolpiczak/ESC-50)",
    files=("meta/esc50.csv", "audio/"),
)


def read(data: Path) -> Gallery:
    """Recordings by their file's name, texts by their class."""
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


run = RankingSuite("esc50", DATA, Medium.AUDIO, read, with_map=True).run
