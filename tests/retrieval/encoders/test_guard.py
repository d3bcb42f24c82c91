from dataclasses import dataclass

import numpy as np
import pytest

from retrieval.encoders.guard import check_text_tower, mean_pairwise_cosine
from retrieval.encoders.probe_texts import PROBE_TEXTS
from retrieval.errors import CollapsedEncoderError
from support.toy_encoder import ToyEncoder


@dataclass(frozen=True)
class Collapsed(ToyEncoder):
    """An encoder whose texts have the pairwise cosine `share`."""

    dim: int = 64
    share: float = 0.95

    def encode_text(self, texts):
        rows = np.zeros((len(texts), self.dim), np.float32)
        rows[:, 0] = self.share**0.5
        rows[np.arange(len(texts)), 1 + np.arange(len(texts))] = (1 - self.share) ** 0.5
        return rows


def test_mean_pairwise_cosine_by_hand() -> None:
    rows = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    assert mean_pairwise_cosine(rows) == pytest.approx((0 + 0.6 + 0.8) / 3)


def test_a_collapsed_text_tower_fails() -> None:
    with pytest.raises(CollapsedEncoderError, match=r"toy.*cosine of 0\.950.*below 0\.9"):
        check_text_tower(Collapsed())


def test_a_healthy_text_tower_passes() -> None:
    check_text_tower(ToyEncoder())
    check_text_tower(Collapsed(share=0.89))


def test_probe_texts_are_two_hundred_different_ones() -> None:
    assert len(PROBE_TEXTS) == len({text.lower() for text in PROBE_TEXTS}) == 200
    # Unrelated: no two share most of their words.
    words = [
        set(text.split()) - {"a", "an", "the", "of", "in", "on", "with"} for text in PROBE_TEXTS
    ]
    shared = [
        len(one & other) / min(len(one), len(other))
        for number, one in enumerate(words)
        for other in words[:number]
        if len(one) > 1 and len(other) > 1
    ]
    assert max(shared) <= 0.5
