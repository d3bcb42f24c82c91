"""Refuses encoders whose texts all look alike: any search by text would be arbitrary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.probe_texts import PROBE_TEXTS
from retrieval.errors import CollapsedEncoderError
from retrieval.protocols import Encoder

TEXTS = 50
LIMIT = 0.9
"""Healthy text towers lie at 0.1 … 0.8, collapsed ones (`laion/larger_clap_music`) near 1."""


def mean_pairwise_cosine(vectors: NDArray[np.float32]) -> float:
    """Mean inner product over all pairs of different rows of (n >= 2, dim) unit vectors."""
    n = len(vectors)
    # The squared length of the sum counts every pair twice and every row with itself once.
    total = np.square(vectors.sum(axis=0, dtype=np.float64)).sum()
    return float((total - n) / (n * (n - 1)))


def check_text_tower(encoder: Encoder) -> None:
    """Embed fifty unrelated texts and look at their mean pairwise cosine.

    Raises:
        CollapsedEncoderError: It is 0.9 or more.
    """
    cosine = mean_pairwise_cosine(encoder.encode_text(PROBE_TEXTS[:TEXTS]))
    if cosine >= LIMIT:
        raise CollapsedEncoderError(
            f"{encoder.spec}: its text tower is collapsed, {TEXTS} unrelated texts have a mean "
            f"cosine of {cosine:.3f}, expected below {LIMIT}; choose another --model"
        )
