"""QVHighlights: moments of YouTube clips from a sentence; a query may have several.

The validation split, because the windows of the test split are not public. Lei, Berg and Bansal,
NeurIPS 2021 (2107.09609). `benchmarks.score.qvhighlights` computes the official metrics of a
prediction file.
"""

from __future__ import annotations

from typing import Final

from benchmarks.datasets.dataset import DataSet
from benchmarks.moments.scoring import IN_VIDEO
from benchmarks.moments.suite import MomentSuite

SUITE: Final = MomentSuite(
    name="qvhighlights",
    summary="moments of YouTube clips from a sentence; a query may have several.",
    data_set=DataSet(
        title="QVHighlights, validation split",
        task="moment in the true video",
        size="1,519 videos of up to 150 s, 1,550 queries, 2,803 windows",
        licence="annotations CC BY-NC-SA 4.0; videos of YouTube's users",
        source="Lei et al., NeurIPS 2021 (github.com/jayleicn/moment_detr, data; its link to the "
        "videos gives files named by vid)",
        files=("highlight_val_release.jsonl", "videos/"),
        reported={
            "Moment-DETR": {(IN_VIDEO, "R1@0.5"): 0.539, (IN_VIDEO, "R1@0.7"): 0.348},
            "CG-DETR, CLIP only": {(IN_VIDEO, "R1@0.5"): 0.666, (IN_VIDEO, "R1@0.7"): 0.499},
            "R2-Tuning, frames of CLIP ViT-B/32": {
                (IN_VIDEO, "R1@0.5"): 0.677, (IN_VIDEO, "R1@0.7"): 0.519
            },
            "CLIP with watershed, zero-shot, test split": {
                (IN_VIDEO, "R1@0.5"): 0.169, (IN_VIDEO, "R1@0.7"): 0.052
            },
        },
    ),
    training_files=("highlight_train_release.jsonl",),
    reports_map=True,
)  # fmt: skip
