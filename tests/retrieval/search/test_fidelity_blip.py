"""Probabilities against those of plain transformers' BLIP, on the same weights."""

from pathlib import Path

import numpy as np
import torch
from transformers import BlipForImageTextRetrieval, BlipProcessor

from retrieval.search.reranking.reranker import load_reranker
from support.fidelity import as_documented, assert_faithful, decoded_pictures, write_pictures
from support.hub.layouts import RealLayouts

TEXTS = ("", "a red circle", "A RED Circle left of a circle", "東京 🙂", "red " * 300)


def test_probabilities(real_layouts: RealLayouts, tmp_path: Path) -> None:
    repo = "Salesforce/blip-itm-base-coco"
    folder = real_layouts.copy(repo, tmp_path / "model", "refs/pr/5")
    reranker = load_reranker(f"blip:{folder}", device="cpu")
    model = BlipForImageTextRetrieval.from_pretrained(folder).eval()
    processor = BlipProcessor.from_pretrained(folder)
    paths = write_pictures(tmp_path)
    pictures = [as_documented(path).convert("RGB") for path in paths.values()]
    pixels = decoded_pictures(paths.values(), reranker.geometry)
    got, want = [], []
    for text in TEXTS:
        inputs = processor(
            images=pictures, text=[text] * len(pictures), truncation=True, return_tensors="pt"
        )
        with torch.inference_mode():
            want.append(model(**inputs).itm_score.softmax(dim=1)[:, 1].numpy())
        got.append(reranker.probabilities(text, pixels))
    assert np.ptp(want) > 0.05
    # Pillow and torchvision round resized pixels each in its own way.
    np.testing.assert_allclose(got, want, atol=2e-3)
    assert_faithful(np.array(got), np.array(want))
