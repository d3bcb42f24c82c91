"""Charades-STA: moments of activities at home from a sentence.

The test split. Gao et al., ICCV 2017 (1705.02101). The text file holds no durations. They come from
the table of the Charades authors, or from the lighthouse form of the same annotations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.datasets.annotation_files import read_table
from benchmarks.datasets.dataset import DataSet
from benchmarks.moments.suite import MomentSuite
from retrieval.errors import SourceError
from retrieval.evaluation.annotations import AnnotatedQuery, read_annotations

DURATIONS: Final = {"charades_sta_test.txt": "Charades_v1_test.csv",
                    "charades_sta_train.txt": "Charades_v1_train.csv"}  # fmt: skip


def read(path: Path) -> Iterator[AnnotatedQuery]:
    """Read either form; the durations of the text file come from the table in the same folder.

    Raises:
        SourceError: The table does not exist or lacks a video, or a file is in another format.
    """
    if path.name not in DURATIONS:
        yield from read_annotations(path)
        return
    table = path.with_name(DURATIONS[path.name])
    if not table.is_file():
        raise SourceError(
            f"{path} holds no durations; put {table.name} of Charades into its folder"
        )
    lengths = {row["id"]: row["length"] for row in read_table(table, "id", "length")}
    for query in read_annotations(path):
        try:
            yield replace(query, duration_seconds=float(lengths[query.video_id]))
        except (KeyError, ValueError) as error:
            raise SourceError(f"{table} holds no duration of {query.video_id}") from error


SUITE: Final = MomentSuite(
    name="charades",
    summary="moments of activities at home from a sentence, Charades-STA's test split.",
    data_set=DataSet(
        title="Charades-STA, test split",
        task="moment in the true video, moment in the corpus",
        size="1,334 videos, 3,720 queries",
        licence="annotations for research; videos under the Charades licence, non-commercial",
        source="Gao et al., ICCV 2017 (github.com/jiyanggao/TALL); durations and videos from "
        "Charades (Sigurdsson et al., ECCV 2016, Charades_v1_480); or lighthouse "
        "(github.com/line/lighthouse)",
        files=("charades_test_release.jsonl", "videos/"),
        alternatives=("charades_sta_test.txt",),
    ),
    training_files=("charades_train_release.jsonl", "charades_sta_train.txt"),
    searches_corpus=True,
    read=read,
)
