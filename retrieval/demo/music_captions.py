"""Says in words what a tune sounds like: varied wording that states facts, and only true ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from retrieval.demo.tunes import (
    Accompaniment,
    Drums,
    Dynamics,
    Instrument,
    Mode,
    Place,
    Register,
    Rhythm,
    Tempo,
    Tune,
)

Choice = TypeVar("Choice")


@dataclass(frozen=True, slots=True)
class TuneCaption:
    """A text and the facts that it states; None where it is silent about one."""

    text: str
    instrument: Instrument | None = None
    tempo: Tempo | None = None
    mode: Mode | None = None
    register: Register | None = None
    rhythm: Rhythm | None = None
    drums: Drums | None = None
    accompaniment: Accompaniment | None = None
    place: Place | None = None
    dynamics: Dynamics | None = None

    def describes(self, tune: Tune) -> bool:
        """Tell whether every fact the caption states is true of the tune."""
        return all(getattr(self, name) in (None, getattr(tune, name)) for name in FACTS)


FACTS = tuple(field.name for field in fields(TuneCaption) if field.name != "text")

NOUNS = ("tune", "melody", "piece", "piece of music", "song", "instrumental")

INSTRUMENTS = {
    Instrument.PIANO: ("a piano", "a grand piano"),
    Instrument.ORGAN: ("an organ", "a church organ", "a pipe organ"),
    Instrument.FLUTE: ("a flute", "a breathy flute"),
    Instrument.STRINGS: ("strings", "a string section", "violins"),
    Instrument.GUITAR: ("a guitar", "a plucked guitar", "an acoustic guitar"),
    Instrument.HARPSICHORD: ("a harpsichord", "a bright harpsichord"),
    Instrument.MARIMBA: ("a marimba", "a wooden marimba", "a xylophone"),
    Instrument.BELLS: ("bells", "ringing bells", "chimes"),
    Instrument.TRUMPET: ("a trumpet", "a brass trumpet", "brass"),
    Instrument.CHIP: ("a chip sound", "an 8-bit game console", "a square wave"),
    Instrument.CHOIR: ("a choir", "choir voices", "singing voices"),
    Instrument.ACCORDION: ("an accordion", "a wheezing accordion", "a squeezebox"),
    Instrument.THEREMIN: ("a theremin", "a wobbling theremin", "an eerie theremin"),
    Instrument.SYNTHESIZER: ("a synthesizer", "a synth", "an analogue synthesizer"),
}

# A fact is said before the noun as an adjective, or after it as a phrase.
BEFORE: dict[str, tuple[str, ...]] = {
    Tempo.SLOW: ("slow", "unhurried", "leisurely", "slow-moving"),
    Tempo.MEDIUM: ("moderate", "medium-paced", "mid-tempo", "moderately paced"),
    Tempo.FAST: ("fast", "quick", "rapid", "brisk"),
    Mode.MAJOR: ("major", "major-key", "cheerful major"),
    Mode.MINOR: ("minor", "minor-key", "sad minor"),
    Mode.PENTATONIC: ("pentatonic", "five-note"),
    Mode.BLUES: ("blues", "bluesy"),
    Mode.WHOLE_TONE: ("whole-tone", "dreamy whole-tone"),
    Register.LOW: ("low", "deep", "low-pitched"),
    Register.MIDDLE: ("middle-register", "mid-range"),
    Register.HIGH: ("high", "high-pitched"),
    Rhythm.STEADY: ("steady", "even"),
    Rhythm.SYNCOPATED: ("syncopated", "off-beat"),
    Rhythm.SWUNG: ("swinging", "jazzy", "shuffling"),
    Rhythm.WALTZ: ("waltzing", "waltz-time"),
    Rhythm.ARPEGGIO: ("arpeggiated", "rippling"),
    Rhythm.HELD: ("long-held", "sustained"),
    Rhythm.STACCATO: ("staccato", "choppy"),
    Place.DRY: ("dry",),
    Place.ECHO: ("echoing",),
    Place.HALL: ("reverberant",),
    Dynamics.SWELLING: ("swelling",),
    Dynamics.EVEN: ("evenly loud",),
}
AFTER: dict[str, tuple[str, ...]] = {
    Tempo.SLOW: ("at a slow tempo", "taking its time"),
    Tempo.MEDIUM: ("at a medium tempo", "at a walking pace"),
    Tempo.FAST: ("at a fast tempo", "played quickly"),
    Mode.MAJOR: ("in a major key", "in major"),
    Mode.MINOR: ("in a minor key", "in minor"),
    Mode.PENTATONIC: ("on the pentatonic scale", "using five notes only"),
    Mode.BLUES: ("on the blues scale", "with blue notes"),
    Mode.WHOLE_TONE: ("on the whole-tone scale", "in whole tones"),
    Register.LOW: ("in the low register", "down low"),
    Register.MIDDLE: ("in the middle register", "in the mid range"),
    Register.HIGH: ("in the high register", "up high"),
    Rhythm.STEADY: ("in a steady rhythm", "in even beats"),
    Rhythm.SYNCOPATED: ("with syncopation", "in a syncopated rhythm"),
    Rhythm.SWUNG: ("with a swing", "in a jazzy shuffle"),
    Rhythm.WALTZ: ("as a waltz", "in three-four time"),
    Rhythm.ARPEGGIO: ("in running arpeggios", "in fast broken chords"),
    Rhythm.HELD: ("in long notes", "holding every note"),
    Rhythm.STACCATO: ("in short detached notes", "played staccato"),
    Place.DRY: ("in a dry room", "without any reverb"),
    Place.ECHO: ("with an echo", "with echoes repeating"),
    Place.HALL: ("in a big hall", "with long reverb"),
    Dynamics.EVEN: ("at an even loudness", "at a constant volume"),
    Dynamics.SWELLING: ("swelling and fading", "getting louder and softer"),
}
DRUMS: dict[Drums, tuple[str, ...]] = {
    Drums.NONE: ("no drums", "no percussion"),
    Drums.BEAT: ("drums", "a drum beat", "a rock beat", "a drum kit"),
    Drums.SHAKER: ("a shaker", "shakers", "a rattling shaker"),
    Drums.HAND: ("hand drums", "congas", "bongos"),
    Drums.MARCH: ("a marching snare", "a snare drum march", "military drums"),
}
ACCOMPANIMENT: dict[Accompaniment, tuple[str, ...]] = {
    Accompaniment.NONE: ("no accompaniment",),
    Accompaniment.DRONE: ("a drone", "a humming drone", "a constant low drone"),
    Accompaniment.BASS: ("a bass line", "a walking bass", "bass"),
    Accompaniment.CHORDS: ("chords", "soft chords", "struck chords"),
}
ALONE = ("solo", "unaccompanied", "all alone")

SAID_AT_FULL_DETAIL = 0.92
SAID_WHEN_ABSENT = 0.5  # people seldom say that there are no drums


def caption_tune(tune: Tune, rng: np.random.Generator, *, detail: float = 1.0) -> TuneCaption:
    """Describe a tune in one of many wordings.

    Args:
        tune: What is heard.
        rng: Chooses the facts, the words, their order and the sentence.
        detail: 0 … 1: the share of the facts that is said. At 1 nearly every caption fits one
            tune among hundreds; near 0 it is a query of a word or two.

    Raises:
        ValueError: `detail` lies outside 0 … 1.
    """
    if not 0.0 <= detail <= 1.0:
        raise ValueError(f"detail lies in 0 … 1, got {detail}")
    said = _choose_facts(tune, rng, detail)
    text = _pick(rng, SENTENCES)(said, rng)
    return TuneCaption(text, **said)  # type: ignore[arg-type]  # names and kinds follow FACTS


Said = dict[str, str]


def _choose_facts(tune: Tune, rng: np.random.Generator, detail: float) -> Said:
    said: Said = {}
    for name in FACTS:
        value = getattr(tune, name)
        quiet = value in (Drums.NONE, Accompaniment.NONE, Place.DRY, Dynamics.EVEN)
        chance = SAID_AT_FULL_DETAIL * detail * (SAID_WHEN_ABSENT if quiet else 1.0)
        if rng.random() < chance:
            said[name] = value
    if not said:
        name = _pick(rng, ("instrument", "rhythm", "tempo"))
        said[name] = getattr(tune, name)
    return said


def _plain(said: Said, rng: np.random.Generator) -> str:
    """As in "a fast minor tune on a piano in long notes, with drums"."""
    before, after = _divide(said, rng, most_before=3)
    text = " ".join([*before, _pick(rng, NOUNS)])
    if "instrument" in said:
        text += _pick(rng, (" on ", " played on ", " for ", " by ")) + _instrument(said, rng)
    text = _with_article(text)
    return _punctuate(text, [*after, *_backing(said, rng)], rng)


def _player_first(said: Said, rng: np.random.Generator) -> str:
    """As in "a piano plays a fast tune in minor, with drums"."""
    if "instrument" not in said:
        return _plain(said, rng)
    before, after = _divide(said, rng, most_before=2)
    words = " ".join([*before, _pick(rng, NOUNS)])
    verb = _pick(rng, ("playing", "with", "and"))
    text = f"{_instrument(said, rng)} {verb} {_with_article(words)}"
    return _punctuate(text, [*after, *_backing(said, rng)], rng)


def _keywords(said: Said, rng: np.random.Generator) -> str:
    """As in "slow piano" or "high fast minor organ, drums, echo"."""
    before, after = _divide(said, rng, most_before=4)
    head = _bare(_instrument(said, rng)) if "instrument" in said else _pick(rng, NOUNS)
    backing = _backing(said, rng)
    return _punctuate(" ".join([*before, head]), [*after, *backing], rng)


def _list(said: Said, rng: np.random.Generator) -> str:
    """As in "piano, slow, in a minor key, with drums", in any order."""
    before, after = _divide(said, rng, most_before=9)
    parts = [*before, *after, *_backing(said, rng)]
    if "instrument" in said:
        parts.append(_bare(_instrument(said, rng)))
    return ", ".join(_shuffled(rng, parts))


SENTENCES: tuple[Callable[[Said, np.random.Generator], str], ...] = (
    _plain,
    _plain,
    _player_first,
    _keywords,
    _list,
)


def _divide(
    said: Said, rng: np.random.Generator, *, most_before: int
) -> tuple[list[str], list[str]]:
    """Turn facts into adjectives, at most so many, and phrases, each in random order."""
    names = [name for name in said if name not in ("instrument", "drums", "accompaniment")]
    before: list[str] = []
    after: list[str] = []
    for name in _shuffled(rng, names):
        if len(before) < most_before and rng.random() < 0.6:
            before.append(_pick(rng, BEFORE[said[name]]))
        else:
            after.append(_pick(rng, AFTER[said[name]]))
    return before, after


def _backing(said: Said, rng: np.random.Generator) -> list[str]:
    """Turn drums and accompaniment into one or two phrases."""
    drums, under = said.get("drums"), said.get("accompaniment")
    if drums == Drums.NONE and under == Accompaniment.NONE and rng.random() < 0.7:
        return [_pick(rng, ALONE)]
    absent: list[str] = []
    present: list[str] = []
    for name, words in (("drums", DRUMS), ("accompaniment", ACCOMPANIMENT)):
        if name in said:
            phrase = _pick(rng, words[said[name]])  # type: ignore[index]  # its own kind
            (absent if phrase.startswith("no ") else present).append(phrase)
    phrases = [phrase.replace("no ", "without ", 1) for phrase in absent]
    if present:
        opening = _pick(rng, ("with ", "over ", "accompanied by "))
        phrases.append(opening + " and ".join(_shuffled(rng, present)))
    return _shuffled(rng, phrases)


def _punctuate(text: str, phrases: list[str], rng: np.random.Generator) -> str:
    """Append phrases; a comma before most, so that long captions stay readable."""
    for number, phrase in enumerate(_shuffled(rng, phrases)):
        text += (" " if number == 0 and rng.random() < 0.5 else ", ") + phrase
    return text


def _instrument(said: Said, rng: np.random.Generator) -> str:
    return _pick(rng, INSTRUMENTS[Instrument(said["instrument"])])


def _bare(words: str) -> str:
    return words.removeprefix("an ").removeprefix("a ")


def _with_article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _pick(rng: np.random.Generator, choices: Sequence[Choice]) -> Choice:
    return choices[int(rng.integers(len(choices)))]


def _shuffled(rng: np.random.Generator, parts: list[str]) -> list[str]:
    return [parts[place] for place in rng.permutation(len(parts))]
