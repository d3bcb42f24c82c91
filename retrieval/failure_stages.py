"""Stages of failures that concern a part of an item of the collection."""

from retrieval.text_types import TextSource

SPACE_STAGE = "space"
"""Stage of a failure in a further space of an existing item."""

PARTIAL_STAGES = (SPACE_STAGE, TextSource.OCR, TextSource.SPEECH)
"""Stages of failures of items that are in the collection; a readable file does not end them."""
