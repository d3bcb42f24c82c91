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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.embedded_files import embed_files, told, uris_of
from benchmarks.datasets.emoji import (
    DATA,
    Emoji,
    keywords_not_in_names,
    read_emoji,
    trigram_scores,
)
from benchmarks.ranking.chance import chance_of_success
from benchmarks.results.outcome import Answers, Outcome, QueryValues, RankedAnswer
from benchmarks.results.tables import Result
from indexes.scoring import best_columns
from retrieval.collection import Collection
from retrieval.evaluation.ranking import RankingMetrics
from retrieval.targets import Target
from retrieval.training.pairs.options import PairsOptions
from retrieval.training.pairs.train import train_on_pairs
from retrieval.types import Medium

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
    files = {one.file.stem: one.file.resolve() for one in emoji}
    spec = f"open_clip:{model}"
    collection, _ = embed_files(folder / "collection", files, Medium.IMAGE, (spec,), say)
    asked = keywords_not_in_names(emoji)
    scores = _asked(collection, files, list(asked), told(len(asked), "keywords asked", say))
    return _scored(emoji, files, asked, scores)


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
    collection: Collection,
    files: Mapping[str, Path],
    queries: Sequence[str],
    tell: Callable[[int], None],
) -> NDArray[np.float32]:
    """Scores (queries, pictures) of whole rankings."""
    places = {uri: place for place, uri in enumerate(uris_of(files).values())}
    scores = np.full((len(queries), len(files)), -1, np.float32)
    for done, (row, query) in enumerate(zip(scores, queries, strict=True)):
        tell(done)
        for hit in collection.search(query, to=[Target.IMAGE], k=len(files)):
            row[places[hit.uri]] = hit.score
    return scores


def _scored(
    emoji: Sequence[Emoji],
    files: Mapping[str, Path],
    asked: Mapping[str, list[int]],
    scores: NDArray[np.float32],
) -> Outcome:
    """Both tasks, pictures that are named with a keyword left out of its ranking."""
    named = np.array([[one.is_named(query) for one in emoji] for query in asked])
    plain = trigram_scores(list(asked), [one.name for one in emoji])
    scores, plain = (np.where(named, -np.inf, each) for each in (scores, plain))
    words = {word for one in emoji for word in one.name.split()}
    known = [words.issuperset(query.split()) for query in asked]
    outcome = Outcome([])
    for task, knows in ((KNOWN, True), (UNKNOWN, False)):
        chosen = [number for number, each in enumerate(known) if each is knows]
        some = {query: asked[query] for query in np.array(list(asked))[chosen].tolist()}
        pools = (~named[chosen]).sum(axis=1)
        outcome = outcome.joined(_task(task, files, some, scores[chosen], plain[chosen], pools))
    return outcome


def _task(
    task: str,
    files: Mapping[str, Path],
    asked: Mapping[str, list[int]],
    scores: NDArray[np.float32],
    plain: NDArray[np.float32],
    pools: NDArray[np.int64],
) -> Outcome:
    """One task; `pools` says of how many pictures each keyword has to find its own."""
    items, queries, wanted = list(files), list(asked), list(asked.values())
    ours, theirs = RankingMetrics(DEPTHS), RankingMetrics(DEPTHS)
    ours.add(scores, wanted)
    theirs.add(plain, wanted)
    results = [
        Result(
            SUITE, task, f"R@{k}", ours.summary()[f"R@{k}"], baseline=theirs.summary()[f"R@{k}"],
            chance=float(np.mean([chance_of_success([len(one)], pool, k)
                                  for one, pool in zip(wanted, pools, strict=True)])),
            pool=len(items),
        )
        for k in DEPTHS
    ]  # fmt: skip
    values = {row.metric: ours.per_query[row.metric].tolist() for row in results}
    best = best_columns(scores, np.broadcast_to(np.arange(len(items)), scores.shape), DEPTHS[-1])
    answers = [
        RankedAnswer(query, query, [items[n] for n in ids], row.tolist(), [items[n] for n in own])
        for query, own, row, ids in zip(queries, wanted, *best, strict=True)
    ]
    return Outcome(results, [QueryValues(SUITE, task, queries, values)],
                   [Answers(SUITE, task, answers, files)])  # fmt: skip
