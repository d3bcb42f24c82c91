"""`bench run emoji`: a model trained on emoji's names alone, asked by keywords not in the names.

An image-text model begins with random weights and sees every picture with its name and the single
words of its name, nothing else. Then each keyword of emojilib is searched among all pictures.
Pictures whose names share a word with the keyword count neither for nor against: a bag of words
finds those, and no others. So its best is chance here; the baseline is a bag of character trigrams,
which knows that a smiley smiles. Keywords made of words that name other emoji are told apart from
those that the model has never read.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.chance import chance_of_success
from benchmarks.emoji import (
    DATA,
    Emoji,
    keywords_not_in_names,
    read_emoji,
    trigram_scores,
)
from benchmarks.outcome import Answers, Outcome, QueryValues, RankedAnswer
from benchmarks.report import Result
from retrieval.collection import Collection
from retrieval.embed_options import EmbedOptions
from retrieval.evaluation.ranking import first_relevant_ranks, success_at_k
from retrieval.targets import Target
from retrieval.training.on_pairs import train_on_pairs
from retrieval.training.pairs_run import PairsOptions

SUITE: Final = "emoji"
STEPS: Final = 600
EVERY: Final = 8
"""One picture in so many is scored while the model is trained, on what it has seen."""

KNOWN, UNKNOWN = "keyword of words in other names", "keyword of other words"
DEPTHS: Final = (1, 10)


def run(*, say: Callable[[str], None], folder: Path, data: Path, scale: float = 1.0) -> Outcome:
    """Train, unless the folder holds the model, embed, index, and ask every keyword."""
    DATA.check(data)
    emoji = read_emoji(data)
    model = folder / "model"
    if not (model / "README.md").exists():
        steps = max(1, round(STEPS * scale))
        say(f"training on the names of {len(emoji):,} pictures, {steps:,} steps")
        pairs, seen = _write_pairs(folder / "pairs.csv", emoji), emoji[::EVERY]
        validation = _write_pairs(folder / "seen.csv", seen, words=False)
        train_on_pairs(PairsOptions("clip", pairs, model, validation, steps=steps))
    collection = Collection(folder / "collection")
    say("embedding the pictures")
    listed = _write_pairs(folder / "pictures.csv", emoji, words=False)
    collection.add(listed, options=EmbedOptions(models=(f"open_clip:{model}",)))
    collection.index()
    asked = keywords_not_in_names(emoji)
    say(f"asking {len(asked):,} keywords")
    return _scored(emoji, asked, _asked(collection, emoji, list(asked)))


def _write_pairs(path: Path, emoji: Sequence[Emoji], *, words: bool = True) -> Path:
    """A manifest of the pictures with their names, and with each word of a name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "caption"])
        for one in emoji:
            captions = [one.name, *(one.name.split() if words else ())]
            writer.writerows([one.file.resolve(), caption] for caption in dict.fromkeys(captions))
    return path


def _asked(
    collection: Collection, emoji: Sequence[Emoji], queries: Sequence[str]
) -> NDArray[np.float32]:
    """Scores (queries, pictures) of whole rankings."""
    numbers = {str(one.file.resolve()): number for number, one in enumerate(emoji)}
    scores = np.full((len(queries), len(emoji)), -1, np.float32)
    for row, query in zip(scores, queries, strict=True):
        for hit in collection.search(query, to=[Target.IMAGE], k=len(emoji)):
            row[numbers[hit.uri]] = hit.score
    return scores


def _scored(
    emoji: Sequence[Emoji], asked: dict[str, list[int]], scores: NDArray[np.float32]
) -> Outcome:
    queries = list(asked)
    named = np.array([[one.is_named(query) for one in emoji] for query in queries])
    relevant = np.zeros(scores.shape, np.bool_)
    for row, wanted in zip(relevant, asked.values(), strict=True):
        row[wanted] = True
    plain = trigram_scores(queries, [one.name for one in emoji])
    scores, plain = (np.where(named, -np.inf, each) for each in (scores, plain))
    ranks, theirs = (first_relevant_ranks(each, relevant) for each in (scores, plain))
    pools, wanted = (~named).sum(axis=1), relevant.sum(axis=1)
    words = {word for one in emoji for word in one.name.split()}
    known = np.array([words.issuperset(query.split()) for query in queries])
    outcome = Outcome([])
    for task, chosen in ((KNOWN, np.flatnonzero(known)), (UNKNOWN, np.flatnonzero(~known))):
        found = {f"R@{k}": (ranks[chosen] <= k).astype(np.float64) for k in DEPTHS}
        results = [
            Result(
                SUITE, task, f"R@{k}", float(found[f"R@{k}"].mean()),
                baseline=success_at_k(theirs[chosen], k),
                chance=float(np.mean([chance_of_success([wanted[number]], pools[number], k)
                                      for number in chosen])),
                pool=len(emoji),
            )
            for k in DEPTHS
        ]  # fmt: skip
        values = QueryValues(
            SUITE, task, [queries[number] for number in chosen],
            {metric: each.tolist() for metric, each in found.items()},
        )  # fmt: skip
        answers = [_answer(emoji, queries[n], scores[n], relevant[n]) for n in chosen]
        files = {one.file.stem: one.file for one in emoji}
        outcome = outcome.joined(Outcome(results, [values], [Answers(SUITE, task, answers, files)]))
    return outcome


def _answer(
    emoji: Sequence[Emoji], query: str, scores: NDArray[np.float32], relevant: NDArray[np.bool_]
) -> RankedAnswer:
    """The first of a ranking, as a page shows them."""
    best = np.argsort(-scores, kind="stable")[: DEPTHS[-1]]
    return RankedAnswer(
        query,
        query,
        [emoji[int(number)].file.stem for number in best],
        scores[best].tolist(),
        [emoji[int(number)].file.stem for number in np.flatnonzero(relevant)],
    )
