"""Generates sentences about what no picture, tune or video of the demo world shows.

`Marvoto signed the contract in Belstadt, file 48213`: an invented name, an action, a thing, an
invented place, and a number. No word occurs in a caption of the demo world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

_STARTS: Final = (
    "Mar", "Kel", "Tor", "Bel", "Vin", "Sal", "Dor", "Nem", "Pol", "Gar", "Hul", "Fen"
)  # fmt: skip
_NAME_ENDS: Final = ("voto", "indra", "asco", "ewin", "umber", "olda", "ipsen", "arro")
_PLACE_ENDS: Final = ("stadt", "minster", "ville", "grad", "wick", "haven")

NAMES: Final = tuple(start + end for start in _STARTS for end in _NAME_ENDS)
PLACES: Final = tuple(start + end for start in _STARTS for end in _PLACE_ENDS)
ACTIONS: Final = (
    "signed", "lost", "forgot", "translated", "denied", "inherited", "smuggled", "refused"
)  # fmt: skip
THINGS: Final = (
    "contract", "invoice", "telegram", "passport", "recipe", "medicine", "verdict", "loan",
    "vaccine", "manuscript", "ticket", "warrant", "testament", "salary", "password", "diploma",
    "mortgage", "subpoena", "petition", "census", "treaty", "patent", "ransom", "alibi",
)  # fmt: skip

FORMS: Final = (
    ("{name} {thing}", ("name", "thing")),
    ("the {thing} in {place}", ("thing", "place")),
    ("what {name} {action} in {place}", ("name", "action", "place")),
    ("file {file}", ("file",)),
)
"""Forms of queries, with the fields that an answer must share."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and its parts."""

    name: str
    action: str
    thing: str
    place: str
    file: int

    @property
    def text(self) -> str:
        """The sentence."""
        return f"{self.name} {self.action} the {self.thing} in {self.place}, file {self.file}"

    def query(self, form: int) -> str:
        """Ask for the sentence in a form of `FORMS`."""
        return FORMS[form][0].format(
            name=self.name, action=self.action, thing=self.thing, place=self.place, file=self.file
        )

    def answers(self, other: Sentence, form: int) -> bool:
        """Whether this sentence answers the query for another one."""
        return all(getattr(self, field) == getattr(other, field) for field in FORMS[form][1])


def sample_sentence(rng: np.random.Generator) -> Sentence:
    """Draw a sentence."""

    def draw(words: Sequence[str]) -> str:
        return words[int(rng.integers(len(words)))]

    return Sentence(
        draw(NAMES), draw(ACTIONS), draw(THINGS), draw(PLACES), int(rng.integers(10_000, 100_000))
    )
