"""Captions tunes in varied English, together with the facts that a caption states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from retrieval.demo.choices import pick
from retrieval.demo.tunes import (
    Accompaniment,
    Drums,
    Dynamics,
    Instrument,
    Mode,
    Register,
    Rhythm,
    Room,
    Tempo,
    Tune,
)


@dataclass(frozen=True, slots=True)
class TuneCaption:
    """A text and the facts that it states; None for omitted ones."""

    text: str
    instrument: Instrument | None = None
    tempo: Tempo | None = None
    mode: Mode | None = None
    register: Register | None = None
    rhythm: Rhythm | None = None
    drums: Drums | None = None
    accompaniment: Accompaniment | None = None
    room: Room | None = None
    dynamics: Dynamics | None = None

    def describes(self, tune: Tune) -> bool:
        """Return whether all stated facts are true of a tune."""
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

# A fact is stated by an adjective before the noun or by a phrase after it.
ADJECTIVES: dict[str, tuple[str, ...]] = {
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
    Room.DRY: ("dry",),
    Room.ECHO: ("echoing",),
    Room.HALL: ("reverberant",),
    Dynamics.SWELLING: ("swelling",),
    Dynamics.EVEN: ("evenly loud",),
}
PHRASES: dict[str, tuple[str, ...]] = {
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
    Room.DRY: ("in a dry room", "without any reverb"),
    Room.ECHO: ("with an echo", "with echoes repeating"),
    Room.HALL: ("in a big hall", "with long reverb"),
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

MENTION_PROBABILITY = 0.92
ABSENCE_FACTOR = 0.5  # natural captions seldom state that there are no drums


def caption_tune(tune: Tune, rng: np.random.Generator, *, detail: float = 1.0) -> TuneCaption:
    """Describe a tune in one of many wordings.

    Args:
        tune: The tune.
        rng: Source of all random choices.
        detail: Share of the stated facts, 0 … 1. At 1 nearly every caption describes one tune
            among hundreds; near 0 it is a query of a word or two.

    Raises:
        ValueError: `detail` is outside 0 … 1.
    """
    if not 0.0 <= detail <= 1.0:
        raise ValueError(f"detail must be in 0 … 1, got {detail}")
    facts = _choose_facts(tune, rng, detail)
    text = pick(rng, SENTENCES)(facts, rng)
    return TuneCaption(text, **facts)  # type: ignore[arg-type]  # names and types follow FACTS


Facts = dict[str, str]


def _choose_facts(tune: Tune, rng: np.random.Generator, detail: float) -> Facts:
    facts: Facts = {}
    for name in FACTS:
        value = getattr(tune, name)
        is_absent = value in (Drums.NONE, Accompaniment.NONE, Room.DRY, Dynamics.EVEN)
        probability = MENTION_PROBABILITY * detail * (ABSENCE_FACTOR if is_absent else 1.0)
        if rng.random() < probability:
            facts[name] = value
    if not facts:
        name = pick(rng, ("instrument", "rhythm", "tempo"))
        facts[name] = getattr(tune, name)
    return facts


def _plain(facts: Facts, rng: np.random.Generator) -> str:
    """Write "a fast minor tune on a piano in long notes, with drums"."""
    adjectives, phrases = _split_facts(facts, rng, max_adjectives=3)
    text = " ".join([*adjectives, pick(rng, NOUNS)])
    if "instrument" in facts:
        text += pick(rng, (" on ", " played on ", " for ", " by ")) + _instrument(facts, rng)
    text = _with_article(text)
    return _punctuate(text, [*phrases, *_backing(facts, rng)], rng)


def _player_first(facts: Facts, rng: np.random.Generator) -> str:
    """Write "a piano playing a fast tune in minor, with drums"."""
    if "instrument" not in facts:
        return _plain(facts, rng)
    adjectives, phrases = _split_facts(facts, rng, max_adjectives=2)
    words = " ".join([*adjectives, pick(rng, NOUNS)])
    verb = pick(rng, ("playing", "with", "and"))
    text = f"{_instrument(facts, rng)} {verb} {_with_article(words)}"
    return _punctuate(text, [*phrases, *_backing(facts, rng)], rng)


def _keywords(facts: Facts, rng: np.random.Generator) -> str:
    """Write "slow piano" or "high fast minor organ, with drums, with an echo"."""
    adjectives, phrases = _split_facts(facts, rng, max_adjectives=4)
    head = _bare(_instrument(facts, rng)) if "instrument" in facts else pick(rng, NOUNS)
    backing = _backing(facts, rng)
    return _punctuate(" ".join([*adjectives, head]), [*phrases, *backing], rng)


def _list(facts: Facts, rng: np.random.Generator) -> str:
    """Write "piano, slow, in a minor key, with drums", in any order."""
    adjectives, phrases = _split_facts(facts, rng, max_adjectives=9)
    parts = [*adjectives, *phrases, *_backing(facts, rng)]
    if "instrument" in facts:
        parts.append(_bare(_instrument(facts, rng)))
    return ", ".join(_shuffled(rng, parts))


SENTENCES: tuple[Callable[[Facts, np.random.Generator], str], ...] = (
    _plain,
    _plain,
    _player_first,
    _keywords,
    _list,
)


def _split_facts(
    facts: Facts, rng: np.random.Generator, *, max_adjectives: int
) -> tuple[list[str], list[str]]:
    """State each fact by an adjective or a phrase, in random order."""
    names = [name for name in facts if name not in ("instrument", "drums", "accompaniment")]
    adjectives: list[str] = []
    phrases: list[str] = []
    for name in _shuffled(rng, names):
        if len(adjectives) < max_adjectives and rng.random() < 0.6:
            adjectives.append(pick(rng, ADJECTIVES[facts[name]]))
        else:
            phrases.append(pick(rng, PHRASES[facts[name]]))
    return adjectives, phrases


def _backing(facts: Facts, rng: np.random.Generator) -> list[str]:
    """State drums and accompaniment by one or two phrases."""
    drums, accompaniment = facts.get("drums"), facts.get("accompaniment")
    if drums == Drums.NONE and accompaniment == Accompaniment.NONE and rng.random() < 0.7:
        return [pick(rng, ALONE)]
    absent: list[str] = []
    present: list[str] = []
    for name, words in (("drums", DRUMS), ("accompaniment", ACCOMPANIMENT)):
        if name in facts:
            phrase = pick(rng, words[facts[name]])  # type: ignore[index]  # of the same enum
            (absent if phrase.startswith("no ") else present).append(phrase)
    phrases = [phrase.replace("no ", "without ", 1) for phrase in absent]
    if present:
        opening = pick(rng, ("with ", "over ", "accompanied by "))
        phrases.append(opening + " and ".join(_shuffled(rng, present)))
    return _shuffled(rng, phrases)


def _punctuate(text: str, phrases: list[str], rng: np.random.Generator) -> str:
    """Append phrases, mostly after commas."""
    for number, phrase in enumerate(_shuffled(rng, phrases)):
        text += (" " if number == 0 and rng.random() < 0.5 else ", ") + phrase
    return text


def _instrument(facts: Facts, rng: np.random.Generator) -> str:
    return pick(rng, INSTRUMENTS[Instrument(facts["instrument"])])


def _bare(words: str) -> str:
    return words.removeprefix("an ").removeprefix("a ")


def _with_article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _shuffled(rng: np.random.Generator, parts: list[str]) -> list[str]:
    return [parts[index] for index in rng.permutation(len(parts))]
