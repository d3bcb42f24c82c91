"""Stores the captions, columns and transcripts of one tar until their media are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from retrieval.columns.types import nested_to_text
from retrieval.media.archives.tar_index import TarIndex, TarText
from retrieval.media.captions import MAX_CAPTION_CHARACTERS
from retrieval.media.lists.encodings import decode_text
from retrieval.media.lists.formats import parse_exact_json
from retrieval.media.lists.rows import CAPTION_COLUMNS
from retrieval.media.names import extension
from retrieval.media.transcripts.formats import TRANSCRIPT_EXTENSIONS
from retrieval.types import Scalar

MAX_TEXT_BYTES = 16 << 20
"""Larger captions and columns are refused."""

TRANSCRIPT_SUFFIXES = TRANSCRIPT_EXTENSIONS - {"json"}
"""Transcripts in tars; a JSON file holds columns."""


@dataclass(frozen=True, slots=True)
class TextsOfItem:
    """What a tar holds beside one media file; transcripts are names and contents."""

    captions: list[object]
    columns: dict[str, Scalar]
    transcripts: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class TarTexts:
    """Captions, columns and transcripts of one tar, stored until their media are read."""

    file: BinaryIO
    index: TarIndex

    def add(self, name: str, content: bytes) -> None:
        """Store one text; one that is too large is reported with its media file."""
        if len(content) > MAX_TEXT_BYTES:
            problem = f"text of more than {MAX_TEXT_BYTES:,} bytes; shorten it"
            self.index.add_text(TarText(name, 0, 0), problem)
            return
        self.index.add_text(TarText(name, self.file.tell(), len(content)))
        self.file.write(content)

    def read(self, media: str) -> TextsOfItem:
        """Return the captions, the columns and the transcripts of one media file."""
        captions: list[object] = []
        columns: dict[str, object] = {}
        transcripts: list[tuple[str, bytes]] = []
        for text in self.index.texts_of(media):
            self.file.seek(text.position)
            content = self.file.read(text.size)
            if extension(text.name) in TRANSCRIPT_SUFFIXES:
                transcripts.append((text.name, content))
                continue
            if extension(text.name) == "txt":
                captions.append(decode_text(content[: 4 * MAX_CAPTION_CHARACTERS]))
                continue
            try:
                values = parse_exact_json(content)
                if not isinstance(values, dict):
                    raise ValueError("not an object, as {…}")
                columns = {**values, **columns}
            except (ValueError, RecursionError) as error:
                self.index.report(text.name, f"its JSON cannot be read ({error}); correct it")
        caption_column = next((n for n in CAPTION_COLUMNS if columns.get(n) is not None), None)
        if caption_column is not None:
            captions.append(columns.pop(caption_column))
        texts = {name: nested_to_text(value) for name, value in columns.items()}
        return TextsOfItem(captions, texts, transcripts)
