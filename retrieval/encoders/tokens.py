"""Texts on their way to a tokenizer, and the digest of what the tokenizer makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from retrieval.encoders.weights import digest_of

MAX_CHARACTERS = 8_192
"""Characters of a text that a tokenizer sees; far beyond any model's context length."""

SPECIMEN = " ".join(
    ["A Photo of 3 CATS; naïve café, “it's” …\n\tÇa va? 東京タワー 🙂 don't—stop!"] * 8
)
"""Case, accents, digits, marks, scripts, white space, and more tokens than a context holds."""


def clean_texts(texts: Sequence[str]) -> list[str]:
    """Cut monstrous texts and replace lone surrogates, on which tokenizers fail."""
    return [text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8") for text in texts]


def tokenizer_digest(vocabulary: Mapping[str, int], specimen_ids: Sequence[int]) -> str:
    """Digest a tokenizer by what it does, whatever files it came in.

    Args:
        vocabulary: Its tokens with their ids.
        specimen_ids: The ids it gives `SPECIMEN`, cut and padded as the model gets them.
    """
    return digest_of({"vocabulary": dict(vocabulary), "specimen": list(specimen_ids)})
