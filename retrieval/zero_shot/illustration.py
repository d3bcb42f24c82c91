"""`illustrate`: a text becomes a storyboard, a picture or frame of a collection for each sentence.

VideoBERT (1904.01766) illustrates recipes so. Its visual words keep the storyboard from showing the
same thing twice in a row.

A sentence may be shown by any picture or frame of its best hits. Of all ways to choose one for each
sentence, the best one is taken, by these criteria in their order:

1. The fewest neighbouring sentences show the same item.
2. The fewest neighbouring sentences share a visual word.
3. The fewest sentences are shown by an unlikely hit.
4. The sum of scores is the highest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from retrieval.collection import Collection
from retrieval.errors import QueryError
from retrieval.files.reading import read_text
from retrieval.search.query import Query
from retrieval.targets import Target
from retrieval.types import Hit, Medium, Space
from retrieval.zero_shot.visual_words import BRANCHING, DEPTH, VisualWords, Word, thinned

HITS = 20
"""Items that a sentence may be shown by; each of a video's frames is a choice of its own."""

MAX_SENTENCES = 1_000
MAX_BYTES = 1 << 20

_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Scene:
    """One sentence with what shows it.

    Attributes:
        sentence: The text.
        hit: The item; for a video, `start_seconds` is the frame's time and `end_seconds` the end
            of the clip around it. `score` is the picture's or frame's own.
        word: Its visual word.
    """

    sentence: str
    hit: Hit
    word: Word


def illustrate(
    path: Path,
    collection: Collection,
    *,
    language: str = "en",
    branching: int = BRANCHING,
    depth: int = DEPTH,
) -> list[Scene]:
    """Choose a picture or frame for every sentence of a text file.

    Args:
        path: UTF-8 text, at most 1 MiB and 1,000 sentences.
        collection: Holds pictures or videos; its first space that embeds pictures is used.
        language: Code of the text's language, whose abbreviations end no sentence.
        branching: Clusters of each level of the visual words.
        depth: Levels.

    Raises:
        QueryError: The file cannot be read or holds no sentence; the collection no picture.
    """
    sentences = read_sentences(path, language)
    space = _picture_space(collection)
    words = VisualWords.fit(
        thinned(_stored_pictures(collection, space)), branching=branching, depth=depth
    )
    choices = [_choices(sentence, collection, space, words) for sentence in sentences]
    if not all(choices):
        raise QueryError(
            f"{collection.root} holds neither pictures nor videos in space {space.name}; "
            "`retrieval embed` some"
        )
    return _best_path(choices)


def read_sentences(path: Path, language: str = "en") -> list[str]:
    """Cut a text file at the ends of sentences and lines; a number alone, as `2.`, is no sentence.

    Sentences are those of sentencex, which knows the abbreviations of some 300 languages.

    Raises:
        QueryError: No such file, not UTF-8, too long, or without a sentence.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise QueryError(f"{path}: over {MAX_BYTES >> 20} MiB; illustrate it in parts")
        text = read_text(path, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    sentences = list(_sentences(text, language))
    if not sentences:
        raise QueryError(f"{path}: holds no sentence to illustrate")
    if len(sentences) > MAX_SENTENCES:
        raise QueryError(
            f"{path}: {len(sentences):,} sentences, at most {MAX_SENTENCES:,} make a storyboard; "
            "illustrate it in parts"
        )
    return sentences


def _sentences(text: str, language: str) -> Iterator[str]:
    from sentencex import segment

    before = ""
    parts = (part for line in text.splitlines() for part in segment(language, line))
    for part in parts:
        part = f"{before}{part.strip()}"
        if _LETTER.search(part):
            yield part
            before = ""
        else:
            before = f"{part} " if part else ""


# ---------------------------------------------------------------- what may show a sentence


def _picture_space(collection: Collection) -> Space:
    for space in collection.snapshot.spaces:
        if Medium.IMAGE in space.media:
            return space
    raise QueryError(
        f"{collection.root} has no space of pictures; `retrieval embed` with --model small"
    )


def _stored_pictures(collection: Collection, space: Space) -> Iterator[np.ndarray]:
    snapshot = collection.snapshot
    for block in snapshot.iter_segments(space.name):
        # Videos' segments are means of frames; the frames themselves follow.
        yield block.vectors[np.isnan(block.start_seconds)]
    yield from snapshot.iter_frames(space.name)


def _choices(
    sentence: str, collection: Collection, space: Space, words: VisualWords
) -> list[Scene]:
    """The best picture or frame of every item and visual word among the sentence's hits."""
    query = Query.of_text(sentence)
    hits = collection.answer(
        query, to=[Target.IMAGE, Target.VIDEO], k=HITS, spaces=[space.name]
    ).hits
    vector = collection.encoder(space).encode_text([sentence])[0]
    best: dict[tuple[int, Word], Scene] = {}
    for hit in hits:
        for shown, picture in _pictures(hit, collection, space, vector):
            (word,) = words.of(picture[None])
            key = (shown.item_id, word)
            if key not in best or shown.score > best[key].hit.score:
                best[key] = Scene(sentence, shown, word)
    return list(best.values())


def _pictures(
    hit: Hit, collection: Collection, space: Space, vector: np.ndarray
) -> Iterator[tuple[Hit, np.ndarray]]:
    """What of a hit can be shown, with its vector: a picture, or each frame of a video."""
    if hit.modality is Medium.IMAGE:
        yield hit, collection.snapshot.item_segments(space.name, hit.item_id).vectors[0]
        return
    frames = collection.snapshot.item_frames(space.name, hit.item_id)
    if frames is None:
        return
    clip = space.sampling.clip_seconds
    for seconds, picture in zip(frames.seconds.tolist(), frames.vectors, strict=True):
        end = (seconds // clip + 1) * clip
        shown = replace(hit, score=float(picture @ vector), start_seconds=seconds, end_seconds=end)
        yield shown, picture


# ---------------------------------------------------------------- the choice


def _best_path(choices: Sequence[Sequence[Scene]]) -> list[Scene]:
    """One scene for each sentence, by dynamic programming (Viterbi)."""
    # Each criterion outweighs all that the next ones can make good; scores are in -1 … 1.
    unlikely = 2.0 * len(choices) + 1
    same_word = unlikely * (len(choices) + 1)
    same_item = same_word * len(choices)
    totals = np.array([_worth(scene, unlikely) for scene in choices[0]])
    came_from = []
    for before, now in pairwise(choices):
        shared = np.array([
            [same_item * (old.hit.item_id == new.hit.item_id) + same_word * (old.word == new.word)
             for old in before]
            for new in now
        ])  # fmt: skip
        ways = totals - shared
        came_from.append(ways.argmax(axis=1))
        totals = ways.max(axis=1) + [_worth(scene, unlikely) for scene in now]
    place = int(totals.argmax())
    chosen = [choices[-1][place]]
    for scenes, origins in zip(reversed(choices[:-1]), reversed(came_from), strict=True):
        place = int(origins[place])
        chosen.append(scenes[place])
    return [
        replace(scene, hit=replace(scene.hit, rank=number))
        for number, scene in enumerate(reversed(chosen), 1)
    ]


def _worth(scene: Scene, unlikely: float) -> float:
    return scene.hit.score - (0.0 if scene.hit.likely else unlikely)
