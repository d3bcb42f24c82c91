from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PeVideoVideoProcessor

from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.pe_av import PeAvEncoder
from retrieval.types import ClipFrames, ImageGeometry, Medium


@pytest.fixture(scope="module")
def encoder(small_pe_av: Path) -> PeAvEncoder:
    encoder = load_encoder(f"pe-av:{small_pe_av}", device="cpu")
    assert isinstance(encoder, PeAvEncoder)
    return encoder


def test_properties_come_from_the_model(encoder: PeAvEncoder) -> None:
    assert (encoder.slug, encoder.dim, encoder.media) == ("small-pe-av", 24, (Medium.VIDEO,))
    assert encoder.geometry == ImageGeometry(32, 32, "bilinear", "squash")
    assert encoder.clip_frames == ClipFrames(16)
    assert len(encoder.digest) == 64


def test_vectors_are_those_of_the_whole_model(
    encoder: PeAvEncoder, small_pe_av: Path, pe_av_model: Any
) -> None:
    processor = PeVideoVideoProcessor.from_pretrained(small_pe_av)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 32, 32, 3), dtype=np.uint8)
    videos = processor(
        [list(clip) for clip in pixels], do_sample_frames=False, return_tensors="pt"
    )["pixel_values_videos"]
    texts = ["a dog", "two cats running"]
    tokens = encoder._tokenizer.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        want = pe_av_model.video_model(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            pixel_values_videos=videos,
        )
    for got, wanted in (
        (encoder.encode_clips(pixels), want.video_embeds),
        (encoder.encode_text(texts), want.text_video_embeds),
    ):
        unit = torch.nn.functional.normalize(wanted, dim=-1).numpy()
        np.testing.assert_allclose(got, unit, atol=1e-5)


def test_vectors_of_texts_are_independent_of_the_batch(encoder: PeAvEncoder) -> None:
    alone, (beside, _) = encoder.encode_text(["a dog"]), encoder.encode_text(["a dog", "b" * 40])
    np.testing.assert_allclose(alone[0], beside, atol=1e-5)
