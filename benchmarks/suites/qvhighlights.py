"""`bench run qvhighlights`: moments of YouTube clips from a sentence; a query may have several.

The validation split; the test split's windows were never published. Lei, Berg and Bansal, NeurIPS
2021 (2107.09609). The official metrics of a prediction file: `bench score qvhighlights`.
"""

from __future__ import annotations

from typing import Final

from benchmarks.datasets.dataset import DataSet
from benchmarks.moments.suite import MomentSuite
from benchmarks.moments.task import IN_VIDEO

DATA: Final = DataSet(
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
)  # fmt: skip

SUITE: Final = MomentSuite(
    name="qvhighlights", data_set=DATA, learnt=("highlight_train_release.jsonl",), with_map=True
)
run = SUITE.run
