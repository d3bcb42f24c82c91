"""`illustrate`: a storyboard of a text, with a picture or video frame for each sentence.

The method follows VideoBERT (1904.01766), which illustrates recipes with visual words. The
choices for a sentence are the pictures and frames of its best hits. The chosen sequence minimises
or maximises, in this order:

1. the number of neighbouring sentences with the same item (minimal),
2. the number of neighbouring sentences with the same visual word (minimal),
3. the number of sentences with an unlikely hit (minimal),
4. the sum of scores (maximal).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.collection import Collection
from retrieval.errors import QueryError
from retrieval.files.reading import read_text
from retrieval.search.query import Query
from retrieval.targets import Target, TextMode
from retrieval.types import Hit, Medium, Space
from retrieval.zero_shot.visual_words import BRANCHING, DEPTH, VisualWords, Word, subsample

HITS = 20
"""Hits of a sentence; each frame of a video is a separate choice."""

MAX_SENTENCES = 1_000
MAX_BYTES = 1 << 20

_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Illustration:
    """One sentence with its picture or frame.

    Attributes:
        sentence: The text.
        hit: The item with the score of the picture or frame. For a video, `start_seconds` is the
            time of the frame and `end_seconds` the end of its clip.
        word: Visual word of the picture or frame.
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
) -> list[Illustration]:
    """Choose a picture or frame for every sentence of a text file.

    Args:
        path: UTF-8 text, at most 1 MiB and 1,000 sentences.
        collection: A collection of pictures or videos. Its first space for pictures is used.
        language: ISO code of the text's language, for splitting sentences.
        branching: Clusters per level of the visual words.
        depth: Levels of the visual words.

    Raises:
        QueryError: The file cannot be read or has no sentence, or the collection has no picture.
    """
    sentences = read_sentences(path, language)
    space = _picture_space(collection)
    words = VisualWords.fit(
        subsample(_stored_pictures(collection, space)), branching=branching, depth=depth
    )
    choices = [_choices(sentence, collection, space, words) for sentence in sentences]
    if not all(choices):
        raise QueryError(
            f"{collection.root} has neither pictures nor videos in space {space.name}; embed some"
        )
    return _best_path(choices)


def read_sentences(path: Path, language: str = "en") -> list[str]:
    """Split a text file into sentences with sentencex; lines end sentences.

    A part without letters, such as `2.`, is joined with the next sentence.

    Raises:
        QueryError: The file cannot be read, is not UTF-8, is too long, or has no sentence.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise QueryError(f"{path}: over {MAX_BYTES >> 20} MiB; illustrate it in parts")
        text = read_text(path, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    sentences = list(_sentences(text, language))
    if not sentences:
        raise QueryError(f"{path}: has no sentence to illustrate")
    if len(sentences) > MAX_SENTENCES:
        raise QueryError(
            f"{path}: {len(sentences):,} sentences, expected at most {MAX_SENTENCES:,}; "
            "illustrate it in parts"
        )
    return sentences


def _sentences(text: str, language: str) -> Iterator[str]:
    from sentencex import segment

    prefix = ""
    parts = (part for line in text.splitlines() for part in segment(language, line))
    for part in parts:
        part = f"{prefix}{part.strip()}"
        if _LETTER.search(part):
            yield part
            prefix = ""
        else:
            prefix = f"{part} " if part else ""


# ---------------------------------------------------------------- choices


def _picture_space(collection: Collection) -> Space:
    for space in collection.snapshot.spaces:
        if Medium.IMAGE in space.media:
            return space
    raise QueryError(
        f"{collection.root} has no space of pictures; embed it with a model for pictures, as small"
    )


def _stored_pictures(collection: Collection, space: Space) -> Iterator[np.ndarray]:
    snapshot = collection.snapshot
    for block in snapshot.iter_segments(space.name):
        # Video segments are means of frames, which are read below.
        yield block.vectors[np.isnan(block.start_seconds)]
    yield from snapshot.iter_frames(space.name)


def _choices(
    sentence: str, collection: Collection, space: Space, words: VisualWords
) -> list[Illustration]:
    """Return the best picture or frame of every item and visual word among the sentence's hits."""
    query = Query.of_text(sentence)
    hits = collection.answer(
        query, to=[Target.IMAGE, Target.VIDEO], k=HITS, spaces=[space.name], text=TextMode.OFF
    ).hits
    vector = collection.encoder(space).encode_text([sentence])[0]
    best: dict[tuple[int, Word], Illustration] = {}
    for hit in hits:
        for choice, picture in _pictures(hit, collection, space, vector):
            (word,) = words.of(picture[None])
            key = (choice.item_id, word)
            if key not in best or _score(choice) > _score(best[key].hit):
                best[key] = Illustration(sentence, choice, word)
    return list(best.values())


def _pictures(
    hit: Hit, collection: Collection, space: Space, vector: np.ndarray
) -> Iterator[tuple[Hit, np.ndarray]]:
    """Yield the picture, or each frame of the video, of a hit, with its vector."""
    if hit.modality is Medium.IMAGE:
        yield hit, collection.snapshot.item_segments(space.name, hit.item_id).vectors[0]
        return
    frames = collection.snapshot.item_frames(space.name, hit.item_id)
    if frames is None:
        return
    clip = space.sampling.clip_seconds
    for seconds, picture in zip(frames.seconds.tolist(), frames.vectors, strict=True):
        end = (seconds // clip + 1) * clip
        score = float(picture @ vector)
        yield replace(hit, score=score, start_seconds=seconds, end_seconds=end), picture


def _score(hit: Hit) -> float:
    """Return the inner product of a hit that vectors found."""
    assert hit.score is not None
    return hit.score


# ---------------------------------------------------------------- selection


def _best_path(choices: Sequence[Sequence[Illustration]]) -> list[Illustration]:
    """Choose one choice for each sentence by dynamic programming (Viterbi)."""
    # Each penalty outweighs all later criteria together; scores are in -1 … 1.
    unlikely = 2.0 * len(choices) + 1
    same_word = unlikely * (len(choices) + 1)
    same_item = same_word * len(choices)

    def gains(options: Sequence[Illustration]) -> NDArray[np.float64]:
        hits = [option.hit for option in options]
        return np.array([_score(hit) - unlikely * (not hit.likely) for hit in hits])

    totals = gains(choices[0])
    origins = []
    for previous, current in pairwise(choices):
        penalties = np.array([
            [same_item * (old.hit.item_id == new.hit.item_id) + same_word * (old.word == new.word)
             for old in previous]
            for new in current
        ])  # fmt: skip
        paths = totals - penalties
        origins.append(paths.argmax(axis=1))
        totals = paths.max(axis=1) + gains(current)
    index = int(totals.argmax())
    path = [choices[-1][index]]
    for previous, origin in zip(reversed(choices[:-1]), reversed(origins), strict=True):
        index = int(origin[index])
        path.append(previous[index])
    return [
        replace(each, hit=replace(each.hit, rank=rank))
        for rank, each in enumerate(reversed(path), 1)
    ]
