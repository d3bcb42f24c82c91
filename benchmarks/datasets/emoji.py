"""Reads emoji: pictures, names, and the keywords of emojilib."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.dataset import DataSet
from retrieval.errors import SourceError

PICTURES, KEYWORDS = "png/72", "emoji-en-US.json"
EMOJI: Final = DataSet(
    title="Noto Emoji with emojilib's keywords",
    task="keyword to picture",
    size="1,644 pictures with keywords, 3,551 keywords",
    licence="Noto Emoji: Apache-2.0; emojilib: MIT",
    source="Google's Noto Emoji (PNG, 72 pixels) and emojilib (emoji-en-US.json)",
    files=(f"{PICTURES}/", KEYWORDS),
)

LETTERS = re.compile(r"[^\W\d_]{2}")
VARIATION_SELECTOR = "\ufe0f"
"""Selects the coloured form of a character; file names of the pictures omit it."""


@dataclass(frozen=True, slots=True)
class Emoji:
    """A picture with its name, such as `grinning face`, and its keywords, such as `happy`."""

    file: Path
    name: str
    keywords: tuple[str, ...]

    def shares_word_with(self, query: str) -> bool:
        """Tell whether the name contains a word of the query."""
        return not set(self.name.split()).isdisjoint(query.split())


def read_emoji(data: Path) -> list[Emoji]:
    """Read the emoji that have a picture (Noto Emoji) and keywords (emojilib).

    Raises:
        SourceError: The keywords cannot be read.
    """
    path = data / KEYWORDS
    try:
        named: dict[str, list[str]] = json.loads(path.read_text("utf-8"))
        emoji = [_emoji(data, character, names) for character, names in named.items()]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise SourceError(f"{path} cannot be read as emojilib's keywords: {error}") from error
    return [each for each in emoji if each.file.is_file()]


def keywords_not_in_names(emoji: Sequence[Emoji]) -> dict[str, list[int]]:
    """Map each keyword to the emoji that have it and whose names share no word with it.

    Keywords without two consecutive letters, such as `:D`, are omitted.
    """
    relevant: dict[str, list[int]] = {}
    for number, each in enumerate(emoji):
        for keyword in dict.fromkeys(each.keywords):
            if LETTERS.search(keyword) and not each.shares_word_with(keyword):
                relevant.setdefault(keyword, []).append(number)
    return relevant


def trigram_scores(queries: Sequence[str], names: Sequence[str]) -> NDArray[np.float32]:
    """Compute cosines (queries, names) of bags of character trigrams, weighted by TF-IDF.

    A baseline without pictures: `smiley` still matches the name `smiling face`.
    """
    bags = [_trigrams(name) for name in names]
    spread = Counter(trigram for bag in bags for trigram in bag)
    columns = {trigram: number for number, trigram in enumerate(spread)}
    weights = {trigram: math.log(1 + len(names) / count) for trigram, count in spread.items()}

    def matrix(rows_of: Sequence[Counter[str]]) -> NDArray[np.float32]:
        rows = np.zeros((len(rows_of), len(columns)), np.float32)
        for row, bag in zip(rows, rows_of, strict=True):
            for trigram, count in bag.items():
                if trigram in columns:
                    row[columns[trigram]] = count * weights[trigram]
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        return rows

    scores: NDArray[np.float32] = matrix([_trigrams(query) for query in queries]) @ matrix(bags).T
    return scores


def _emoji(data: Path, character: str, names: list[str]) -> Emoji:
    if not isinstance(names, list):
        raise TypeError(f"the names of {character} are {names!r}, expected a list")
    name, *keywords = map(_words, names)
    return Emoji(data / PICTURES / _file_name(character), name, tuple(keywords))


def _trigrams(text: str) -> Counter[str]:
    return Counter(
        padded[first : first + 3]
        for padded in (f" {word} " for word in text.split())
        for first in range(len(padded) - 2)
    )


def _file_name(character: str) -> str:
    points = (f"{ord(point):04x}" for point in character if point != VARIATION_SELECTOR)
    return f"emoji_u{'_'.join(points)}.png"


def _words(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())
