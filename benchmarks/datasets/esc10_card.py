"""What ESC-10 is; apart from what reads it, so that `bench list` stays quick."""

from __future__ import annotations

from typing import Final

from benchmarks.datasets.dataset import DataSet

DATA: Final = DataSet(
    title="ESC-10",
    task="sounds and their classes",
    size="400 recordings, 10 classes, 5 folds",
    licence="CC BY 3.0",
    source="Piczak, ACM Multimedia 2015 (github.com/karoldvl/ESC-10)",
    files=(
        "001 - Dog bark/", "002 - Rain/", "003 - Sea waves/", "004 - Baby cry/",
        "005 - Clock tick/", "006 - Person sneeze/", "007 - Helicopter/", "008 - Chainsaw/",
        "009 - Rooster/", "010 - Fire crackling/",
    ),
)  # fmt: skip
