"""The card of a text index: its tokenizer, its counts and its calibration."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from retrieval.errors import CollectionFormatError, short_repr
from retrieval.files.documents import parse_json
from retrieval.files.reading import read_text
from retrieval.texts.calibration import TextCalibration
from retrieval.texts.tokenizer import LANGUAGES, TOKENIZER_VERSION, Tokenizer

CARD_VERSION = 1

MAX_REASON_LENGTH = 300
"""Length of the reason in a message; a damaged card can contain values of any length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextIndexCard:
    """The content of card.json.

    Attributes:
        tokenizer: Version of the tokenizer.
        language: ISO 639-1 code of the stemmer; None: words are not stemmed.
        texts: Number of texts.
        passages: Number of rows; a long text has several.
        generation: Generation of the collection that was indexed.
        tantivy: Version of tantivy.
        bytes: Size of the other files of the folder.
        build_seconds: Time from reading the first text to the calibration.
        calibration: Statistics of unrelated queries.

    Raises:
        ValueError: The tokenizer has another version, or the language is unknown.
    """

    tokenizer: int
    language: str | None
    texts: int
    passages: int
    generation: int
    tantivy: str
    bytes: int
    build_seconds: float
    calibration: TextCalibration

    def __post_init__(self) -> None:
        if self.tokenizer != TOKENIZER_VERSION:
            raise ValueError(f"tokenizer {self.tokenizer}, expected {TOKENIZER_VERSION}")
        if self.language is not None and self.language not in LANGUAGES:
            raise ValueError(f"unknown language {short_repr(self.language)}")

    def to_json(self) -> str:
        """Serialize to the text of card.json."""
        return json.dumps({"version": CARD_VERSION, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> TextIndexCard:
        """Read a card.

        Raises:
            CollectionFormatError: The file is not a card, has another version, or breaks a rule.
        """
        try:
            raw = json.loads(read_text(path))
            version = raw.pop("version") if isinstance(raw, dict) and "version" in raw else None
            if version != CARD_VERSION:
                raise ValueError(f"version {short_repr(version)}, expected {CARD_VERSION}")
            return parse_json(cls, json.dumps(raw))
        except (OSError, ValueError, RecursionError) as error:
            reason = " ".join(str(error)[:MAX_REASON_LENGTH].split())
            raise CollectionFormatError(
                f"{path} is not a card of a text index of this release ({reason}); "
                "build the index again"
            ) from error

    def make_tokenizer(self) -> Tokenizer:
        """Return the tokenizer of the index."""
        return Tokenizer(self.language)

    def summary(self) -> str:
        """Describe the index in one line."""
        language = f", stemmed ({self.language})" if self.language else ""
        return (
            f"texts: {self.texts} texts{language}, {self.bytes / 1e6:.1f} MB, "
            f"built in {self.build_seconds:.1f} s"
        )
