"""Preparation of texts for tokenizers, and digests of tokenizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from retrieval.encoders.weights import json_digest

MAX_CHARACTERS = 8_192
"""Characters of a text that a tokenizer reads; far beyond any model's context length."""

SPECIMEN = " ".join(
    ["A Photo of 3 CATS; naïve café, “it’s” …\n\tÇa va? 東京タワー 🙂 don't—stop!"] * 8
)
"""Covers case, accents, digits, punctuation, scripts, white space, and exceeds a context."""


def clean_texts(texts: Sequence[str]) -> list[str]:
    """Truncate huge texts and replace lone surrogates, on which tokenizers fail."""
    return [text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8") for text in texts]


def tokenizer_digest(vocabulary: Mapping[str, int], specimen_ids: Sequence[int]) -> str:
    """Digest a tokenizer by its behaviour, independent of its file format.

    Args:
        vocabulary: Its tokens with their ids.
        specimen_ids: Its ids for `SPECIMEN`, truncated and padded as for the model.
    """
    return json_digest({"vocabulary": dict(vocabulary), "specimen": list(specimen_ids)})
