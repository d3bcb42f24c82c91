"""Emoji: pictures, their names, and the keywords that people look them up by."""

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
DATA: Final = DataSet(
    title="Noto Emoji with emojilib's keywords",
    task="keyword to picture",
    size="1,644 pictures with keywords, 3,551 keywords",
    licence="Noto Emoji: Apache-2.0; emojilib: MIT",
    source="Google's Noto Emoji (PNG, 72 pixels) and emojilib (emoji-en-US.json)",
    files=(f"{PICTURES}/", KEYWORDS),
)

LETTERS = re.compile(r"[^\W\d_]{2}")
VARIATION_SELECTOR = "\ufe0f"
"""Asks for the coloured form of a character; the pictures' file names leave it out."""


@dataclass(frozen=True, slots=True)
class Emoji:
    """A picture and what it is called.

    Attributes:
        name: As `grinning face`.
        keywords: As `happy`, without the name.
    """

    file: Path
    name: str
    keywords: tuple[str, ...]

    def is_named(self, query: str) -> bool:
        """Whether the name has a word of the query."""
        return not set(self.name.split()).isdisjoint(query.split())


def read_emoji(data: Path) -> list[Emoji]:
    """Read the emoji that have a picture (Noto Emoji) and keywords (emojilib).

    Raises:
        SourceError: The keywords cannot be read.
    """
    path = data / KEYWORDS
    try:
        named: dict[str, list[str]] = json.loads(path.read_text("utf-8"))
        found = [_emoji(data, character, names) for character, names in named.items()]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise SourceError(f"{path} cannot be read as emojilib's keywords: {error}") from error
    return [one for one in found if one.file.is_file()]


def keywords_not_in_names(emoji: Sequence[Emoji]) -> dict[str, list[int]]:
    """Keywords, and the emoji that have them while their names share no word with them.

    Keywords without two letters in a row, such as `:D`, are left out.
    """
    asked: dict[str, list[int]] = {}
    for number, one in enumerate(emoji):
        for keyword in dict.fromkeys(one.keywords):
            if LETTERS.search(keyword) and not one.is_named(keyword):
                asked.setdefault(keyword, []).append(number)
    return asked


def trigram_scores(queries: Sequence[str], names: Sequence[str]) -> NDArray[np.float32]:
    """Cosines (queries, names) of bags of character trigrams, rare ones weighing more (TF-IDF).

    Without any picture: `smiley` still finds the name `smiling face`.
    """
    bags = [_trigrams(name) for name in names]
    spread = Counter(trigram for bag in bags for trigram in bag)
    columns = {trigram: number for number, trigram in enumerate(spread)}
    weights = {one: math.log(1 + len(names) / count) for one, count in spread.items()}

    def matrix(every: Sequence[Counter[str]]) -> NDArray[np.float32]:
        rows = np.zeros((len(every), len(columns)), np.float32)
        for row, bag in zip(rows, every, strict=True):
            for trigram, count in bag.items():
                if trigram in columns:
                    row[columns[trigram]] = count * weights[trigram]
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        return rows

    scores: NDArray[np.float32] = matrix([_trigrams(query) for query in queries]) @ matrix(bags).T
    return scores


def _emoji(data: Path, character: str, names: list[str]) -> Emoji:
    if not isinstance(names, list):
        raise TypeError(f"{character} has {names!r} in place of a list of names")
    name, *keywords = map(_words, names)
    return Emoji(data / PICTURES / _file(character), name, tuple(keywords))


def _trigrams(text: str) -> Counter[str]:
    return Counter(
        padded[first : first + 3]
        for padded in (f" {word} " for word in text.split())
        for first in range(len(padded) - 2)
    )


def _file(character: str) -> str:
    points = (f"{ord(one):04x}" for one in character if one != VARIATION_SELECTOR)
    return f"emoji_u{'_'.join(points)}.png"


def _words(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())
