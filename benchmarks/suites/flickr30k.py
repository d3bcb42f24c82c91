"""Flickr30k: 1,000 photographs with five captions each.

The test split of Karpathy and Fei-Fei (CVPR 2015). A caption has one relevant photograph; a
photograph has five relevant captions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from benchmarks.datasets.dataset import DataSet
from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from retrieval.types import Medium


def read(data: Path) -> Gallery:
    """Read photographs by file name."""
    images = json.loads((data / "dataset_flickr30k.json").read_bytes())["images"]
    test = [image for image in images if image["split"] == "test"]
    return Gallery(
        {image["filename"]: data / "flickr30k-images" / image["filename"] for image in test},
        [
            Caption(str(sentence["sentid"]), sentence["raw"], (image["filename"],))
            for image in test
            for sentence in image["sentences"]
        ],
    )


SUITE: Final = RankingSuite(
    name="flickr30k",
    summary="1,000 photographs and their five captions each.",
    data_set=DataSet(
        title="Flickr30k, Karpathy's test split",
        task="text to image",
        size="1,000 photographs, 5,000 captions",
        licence="captions for non-commercial research and education; photographs of Flickr's users",
        source="Young et al., TACL 2014 (photographs, on request); Karpathy's caption_datasets.zip",
        files=("dataset_flickr30k.json", "flickr30k-images/"),
        reported={
            "open_clip:ViT-B-32/openai": {
                ("text to image", "R@1"): 0.588, ("image to text", "R@1"): 0.789
            },
            "ViT-B/32 laion2b": {("text to image", "R@1"): 0.668, ("image to text", "R@1"): 0.841},
            "SigLIP SO400M 384": {("text to image", "R@1"): 0.830, ("image to text", "R@1"): 0.943},
        },
    ),
    medium=Medium.IMAGE,
    read=read,
)  # fmt: skip
