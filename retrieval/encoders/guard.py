"""Detection of collapsed text towers, which map all texts to almost the same vector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.probe_texts import PROBE_TEXTS
from retrieval.errors import CollapsedEncoderError
from retrieval.protocols import Encoder

TEXTS = 50
MAX_COSINE = 0.9
"""Normal text towers reach 0.1 … 0.8, collapsed ones (`laion/larger_clap_music`) almost 1."""


def mean_pairwise_cosine(vectors: NDArray[np.float32]) -> float:
    """Average the inner product over all pairs of different rows of (n >= 2, dim) unit vectors."""
    n = len(vectors)
    # The squared length of the sum counts each pair twice, and each row with itself once.
    total = np.square(vectors.sum(axis=0, dtype=np.float64)).sum()
    return float((total - n) / (n * (n - 1)))


def check_text_tower(encoder: Encoder) -> None:
    """Measure the mean pairwise cosine of fifty unrelated texts.

    Raises:
        CollapsedEncoderError: It is 0.9 or more.
    """
    cosine = mean_pairwise_cosine(encoder.encode_text(PROBE_TEXTS[:TEXTS]))
    if cosine >= MAX_COSINE:
        raise CollapsedEncoderError(
            f"{encoder.spec}: its text tower is collapsed: {TEXTS} unrelated texts have a mean "
            f"cosine of {cosine:.3f}, expected below {MAX_COSINE}; choose another model"
        )
