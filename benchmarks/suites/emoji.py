"""A model trained on the names of emoji, queried by keywords that are not in the names.

An image-text model with random weights is trained on each picture with its name and the single
words of its name. Each keyword of emojilib is then a query over all pictures. Pictures whose names
share a word with the keyword are excluded, because a bag of words finds exactly those. The best bag
of words is therefore at chance, and the baseline is a bag of character trigrams, which matches
`smiley` to `smiling`. Keywords made of words from other names are reported separately from
keywords with words that the model never read.

Every second picture has its name and its keywords as texts, so that vectors are compared with
words. Only vectors can answer the name of a picture without texts, which the model learned. Names
with a word that the texts of other pictures have are a group of their own: words mislead there.
Only words can answer a keyword whose words the model never read.
"""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.embedded_files import embed_files, uris_of
from benchmarks.datasets.emoji import (
    EMOJI,
    LETTERS,
    Emoji,
    keywords_not_in_names,
    read_emoji,
    trigram_scores,
)
from benchmarks.datasets.stored_texts import ItemTexts
from benchmarks.hybrid.comparison import Group
from benchmarks.ranking.chance import chance_of_success
from benchmarks.ranking.hybrid import HybridQuery, HybridTask, item_search
from benchmarks.results.outcome import Answers, Outcome, QueryValues, RankedAnswer, Result
from indexes.scoring import best_columns
from retrieval.collection import Collection
from retrieval.evaluation.ranking import RankingMetrics
from retrieval.progress import Progress, no_progress
from retrieval.targets import Target, TextMode
from retrieval.texts.tokenizer import Tokenizer
from retrieval.training.pairs.options import PairsOptions
from retrieval.training.pairs.train import train_on_pairs
from retrieval.types import Medium, TextSource, TimedText

logger = logging.getLogger(__name__)

SUITE: Final = "emoji"
STEPS: Final = 600
VALIDATION_STRIDE: Final = 8
"""Every eighth picture is scored during training; all of them are training pictures."""

KNOWN, UNKNOWN = "keyword of words in other names", "keyword of other words"
DEPTHS: Final = (1, 10)
TOKENIZER: Final = Tokenizer()


def run(
    *, folder: Path, data: Path, scale: float = 1.0, progress: Progress = no_progress
) -> Outcome:
    """Train unless the folder holds the model, then embed, index, and run every keyword."""
    EMOJI.check(data)
    emoji = read_emoji(data)
    model = folder / "model"
    if not (model / "README.md").exists():
        steps = max(1, round(STEPS * scale))
        logger.info("training on the names of %d pictures, %d steps", len(emoji), steps)
        pairs = _write_pairs(folder / "pairs.csv", emoji)
        validation = _write_pairs(folder / "seen.csv", emoji[::VALIDATION_STRIDE], words=False)
        train_on_pairs(PairsOptions("clip", pairs, model, validation, steps=steps))
    files = {each.file.stem: each.file.resolve() for each in emoji}
    collection, _ = embed_files(
        folder / "collection", files, Medium.IMAGE, (f"open_clip:{model}",), progress,
        texts=texts_of(emoji),
    )  # fmt: skip
    relevant = keywords_not_in_names(emoji)
    scores = _search_scores(collection, files, list(relevant), progress)
    outcome = _outcome(emoji, files, relevant, scores)
    return Outcome.merged([outcome, _compare_with_words(collection, emoji, files, progress)])


def texts_of(emoji: Sequence[Emoji]) -> ItemTexts:
    """Return the name and the keywords of every second picture as texts, by picture."""
    return {
        each.file.stem: [
            TimedText(TextSource.CAPTION, each.name),
            *(TimedText(TextSource.TAG, keyword) for keyword in dict.fromkeys(each.keywords)),
        ]
        for each in emoji[::2]
    }


def hybrid_queries(emoji: Sequence[Emoji]) -> list[HybridQuery]:
    """Build queries that only vectors, or only words, can answer.

    Names that two pictures share, and keywords of no picture with texts, are left out.
    """
    counts = Counter(each.name for each in emoji)
    vocabulary = {word for each in emoji for word in each.name.split()}
    texts = [text.text for texts in texts_of(emoji).values() for text in texts]
    terms = {term for text in texts for term in TOKENIZER.terms(text)}

    def group_of(name: str) -> Group:
        is_unknown = terms.isdisjoint(TOKENIZER.query_terms(name))
        return Group.VECTORS if is_unknown else Group.MISLED

    names = [
        HybridQuery(each.file.stem, each.name, (each.file.stem,), group_of(each.name))
        for each in emoji[1::2]
        if counts[each.name] == 1 and LETTERS.search(each.name)
    ]
    with_texts = {each.file.stem for each in emoji[::2]}
    keywords = []
    for keyword, numbers in keywords_not_in_names(emoji).items():
        relevant = tuple(emoji[number].file.stem for number in numbers)
        if vocabulary.isdisjoint(keyword.split()) and not with_texts.isdisjoint(relevant):
            keywords.append(HybridQuery(f"keyword {keyword}", keyword, relevant, Group.WORDS))
    return [*names, *keywords]


def _compare_with_words(
    collection: Collection, emoji: Sequence[Emoji], files: Mapping[str, Path], progress: Progress
) -> Outcome:
    names = {uri: item for item, uri in uris_of(files).items()}
    spaces = [space.name for space in collection.snapshot.spaces]
    search = item_search(collection.searcher, names, Target.IMAGE, spaces, max(DEPTHS))
    task = HybridTask(SUITE, "text → image", hybrid_queries(emoji), len(files), DEPTHS, files)
    return task.measure(search, progress)


def _write_pairs(path: Path, emoji: Sequence[Emoji], *, words: bool = True) -> Path:
    """Write a table of the pictures with their names and, optionally, each word of a name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "caption"])
        for each in emoji:
            captions = [each.name, *(each.name.split() if words else ())]
            writer.writerows([each.file.resolve(), caption] for caption in dict.fromkeys(captions))
    return path


def _search_scores(
    collection: Collection, files: Mapping[str, Path], queries: Sequence[str], progress: Progress
) -> NDArray[np.float32]:
    """Search all pictures for each query; return scores (queries, pictures)."""
    columns = {uri: column for column, uri in enumerate(uris_of(files).values())}
    scores = np.full((len(queries), len(files)), -1, np.float32)
    for done, (row, query) in enumerate(zip(scores, queries, strict=True)):
        progress("searching keywords", done, len(queries))
        for hit in collection.search(query, to=[Target.IMAGE], k=len(files), text=TextMode.OFF):
            row[columns[hit.uri]] = hit.score
    return scores


@dataclass(frozen=True, slots=True)
class _Task:
    """The keywords of one task.

    Attributes:
        relevant: Positions of the relevant pictures by keyword.
        scores: (keywords, pictures) scores of the model; excluded pictures have -inf.
        baseline: The same of the trigrams.
        pools: (keywords,) number of pictures that are not excluded.
    """

    name: str
    relevant: Mapping[str, list[int]]
    scores: NDArray[np.float32]
    baseline: NDArray[np.float32]
    pools: NDArray[np.int64]

    def outcome(self, files: Mapping[str, Path]) -> Outcome:
        """Score the model and the baseline."""
        items, queries, relevant = list(files), list(self.relevant), list(self.relevant.values())
        metrics, baseline = RankingMetrics(DEPTHS), RankingMetrics(DEPTHS)
        metrics.add(self.scores, relevant)
        baseline.add(self.baseline, relevant)
        results = [
            Result(
                SUITE, self.name, f"R@{k}", metrics.summary()[f"R@{k}"],
                baseline=baseline.summary()[f"R@{k}"],
                chance=float(np.mean([chance_of_success([len(positions)], pool, k)
                                      for positions, pool in zip(relevant, self.pools, strict=True)
                                      ])),
                pool=len(items),
            )
            for k in DEPTHS
        ]  # fmt: skip
        values = {row.metric: metrics.per_query[row.metric].tolist() for row in results}
        positions = np.broadcast_to(np.arange(len(items)), self.scores.shape)
        best = best_columns(self.scores, positions, DEPTHS[-1])
        answers = [
            RankedAnswer(
                query, query, [items[n] for n in ids], row.tolist(), [items[n] for n in own]
            )
            for query, own, row, ids in zip(queries, relevant, *best, strict=True)
        ]
        return Outcome(results, [QueryValues(SUITE, self.name, queries, values)],
                       [Answers(SUITE, self.name, answers, files)])  # fmt: skip


def _outcome(
    emoji: Sequence[Emoji],
    files: Mapping[str, Path],
    relevant: Mapping[str, list[int]],
    scores: NDArray[np.float32],
) -> Outcome:
    """Score both tasks without the pictures whose names share a word with the keyword."""
    queries = list(relevant)
    excluded = np.array([[each.shares_word_with(query) for each in emoji] for query in queries])
    baseline = trigram_scores(queries, [each.name for each in emoji])
    scores, baseline = (np.where(excluded, -np.inf, each) for each in (scores, baseline))
    vocabulary = {word for each in emoji for word in each.name.split()}
    is_known = np.array([vocabulary.issuperset(query.split()) for query in queries])
    outcomes = []
    for name, rows in ((KNOWN, np.flatnonzero(is_known)), (UNKNOWN, np.flatnonzero(~is_known))):
        task = _Task(
            name,
            {queries[row]: relevant[queries[row]] for row in rows},
            scores[rows],
            baseline[rows],
            (~excluded[rows]).sum(axis=1),
        )
        outcomes.append(task.outcome(files))
    return Outcome.merged(outcomes)
