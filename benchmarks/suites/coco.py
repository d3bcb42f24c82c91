"""COCO: 5,000 photographs and the first five captions of each.

The 5k test split of Karpathy and Fei-Fei (CVPR 2015), a part of val2014. Ten photographs have a
sixth or seventh caption. Most papers use only the first five, and so does this suite.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.types import Medium

CAPTIONS: Final = 5

FORWARD: Final = ("text to image", "R@1")
BACKWARD: Final = ("image to text", "R@1")


def read(data: Path) -> Gallery:
    """Read photographs by file name."""
    images = json.loads((data / "dataset_coco.json").read_bytes())["images"]
    test = [image for image in images if image["split"] == "test"]
    return Gallery(
        {image["filename"]: data / image["filepath"] / image["filename"] for image in test},
        [
            Caption(str(sentence["sentid"]), sentence["raw"], (image["filename"],))
            for image in test
            for sentence in image["sentences"][:CAPTIONS]
        ],
    )


SUITE: Final = RankingSuite(
    name="coco",
    summary="5,000 photographs and the first five captions of each.",
    data_set=DataSet(
        title="COCO, Karpathy's 5k test split",
        task="text to image",
        size="5,000 photographs, 25,000 captions",
        licence="captions CC BY 4.0; photographs under Flickr's terms of use",
        source="cocodataset.org (val2014); Karpathy's caption_datasets.zip",
        files=("dataset_coco.json", "val2014/"),
        reported={
            "open_clip:ViT-B-32/openai": {FORWARD: 0.304, BACKWARD: 0.501},
            "ViT-B/32 laion2b": {FORWARD: 0.393, BACKWARD: 0.563},
            "open_clip:ViT-B-32-SigLIP2-256/webli": {FORWARD: 0.472, BACKWARD: 0.637},
            "open_clip:ViT-B-16-SigLIP2-256/webli": {FORWARD: 0.532, BACKWARD: 0.697},
            "open_clip:PE-Core-B-16/meta": {FORWARD: 0.509},
            "open_clip:ViT-gopt-16-SigLIP2-384/webli": {FORWARD: 0.561, BACKWARD: 0.728},
        },
    ),
    medium=Medium.IMAGE,
    read=read,
)
