"""Times the index of texts compared with tantivy alone, and what words add to a search.

The corpus consists of captions of ten words with the frequencies of natural language, ten captions
per item. tantivy alone indexes the same captions from memory, with the same buffer and one thread.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tantivy
from numpy.typing import NDArray

from benchmarks.results.outcome import Result
from benchmarks.speed import SUITE
from benchmarks.speed.harness import Sample, in_turns, one_thread, row
from benchmarks.speed.vectors import VectorEncoder, clustered
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.options import SearchOptions
from retrieval.search.searcher import Searcher
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.targets import TextMode
from retrieval.texts.building import write_index_folder
from retrieval.texts.text_index import HEAP_BYTES
from retrieval.texts.tokenizer import Tokenizer
from retrieval.types import (
    EmbeddedItem,
    MediaInfo,
    Medium,
    Segments,
    Space,
    TextSource,
    TimedText,
)

logger = logging.getLogger(__name__)

CAPTIONS, CAPTIONS_EACH, WORDS = 1_000_000, 10, 10
DIM, K = 64, 10
BUILD_TURNS, QUERIES = 3, 101
BLOCK_ITEMS = 5_000

VOCABULARY, EXPONENT = 50_000, 1.0
"""Number of words, and the exponent of Zipf's law."""

FREQUENT_RANKS, RARE_RANKS = (3, 200), (10_000, 50_000)
"""Ranks of the words of queries. The rarest of the frequent ones is in 1% of the captions."""

SYLLABLES = ("ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu")


@dataclass(frozen=True, slots=True)
class Corpus:
    """Generated captions.

    Attributes:
        items: Number of items.
    """

    items: int

    @property
    def captions(self) -> int:
        """Number of captions."""
        return self.items * CAPTIONS_EACH

    def blocks(self) -> Iterator[list[str]]:
        """Yield the captions of `BLOCK_ITEMS` items at a time, in item order."""
        words = np.array([word(rank) for rank in range(VOCABULARY)], object)
        weights = 1 / np.arange(1, VOCABULARY + 1) ** EXPONENT
        for first in range(0, self.items, BLOCK_ITEMS):
            count = min(BLOCK_ITEMS, self.items - first) * CAPTIONS_EACH
            rng = np.random.default_rng([3, first])
            ranks = rng.choice(VOCABULARY, (count, WORDS), p=weights / weights.sum())
            yield [" ".join(row) for row in words[ranks].tolist()]


def word(rank: int) -> str:
    """Return the word of a rank; frequent words are shorter."""
    return "".join(SYLLABLES[int(digit)] for digit in str(rank))


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure the build of the index and queries of frequent, rare and many words."""
    corpus = Corpus(max(200, round(CAPTIONS * scale) // CAPTIONS_EACH))
    root = folder / "captions"
    logger.info("writing %d captions of %d items", corpus.captions, corpus.items)
    shutil.rmtree(root, ignore_errors=True)  # an earlier run may have used the folder
    encoder = VectorEncoder(DIM)
    _write(root, corpus, encoder)
    return [*_measure_build(folder, root, corpus), *_measure_queries(root, corpus, encoder)]


def _measure_build(folder: Path, root: Path, corpus: Corpus) -> list[Result]:
    snapshot = Snapshot.open(root)
    captions = [caption for block in corpus.blocks() for caption in block]
    place = folder / "text-index"
    cpu: dict[str, list[float]] = {"ours": [], "tantivy": []}

    def build(name: str, work: Callable[[], object]) -> float:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        start, start_cpu = time.perf_counter(), time.process_time()
        work()
        cpu[name].append(time.process_time() - start_cpu)
        return time.perf_counter() - start

    logger.info("indexing the captions")
    ways = {
        "tantivy": lambda turn: build("tantivy", lambda: _tantivy_alone(place, captions)),
        "ours": lambda turn: build(
            "ours", lambda: write_index_folder(snapshot, place, Tokenizer())
        ),
    }
    times = in_turns(ways, BUILD_TURNS)
    shutil.rmtree(place, ignore_errors=True)
    ours, alone = Sample(tuple(cpu["ours"])), Sample(tuple(cpu["tantivy"]))
    task = f"index {corpus.captions:,} captions of {WORDS} words"
    return [
        row(task, "times as long as tantivy alone", times["ours"] / times["tantivy"], 1.2),
        row(task, "seconds", times["ours"], baseline=times["tantivy"].median),
        row(task, "CPU time, times that of tantivy alone", ours / alone, 1.2),
    ]


def _measure_queries(root: Path, corpus: Corpus, encoder: VectorEncoder) -> list[Result]:
    build_index(root, request=IndexRequest("exact"), encoders=lambda space: encoder)
    searcher = Searcher(Snapshot.open(root), lambda space: encoder)
    some = next(corpus.blocks())
    rng = np.random.default_rng(7)
    kinds = {
        "three frequent words": _random_words(rng, FREQUENT_RANKS, 3),
        "one frequent word": _random_words(rng, FREQUENT_RANKS, 1),
        "two rare words": _random_words(rng, RARE_RANKS, 2),
        "a rare and two frequent words": [
            f"{rare} {frequent}"
            for rare, frequent in zip(
                _random_words(rng, RARE_RANKS, 1),
                _random_words(rng, FREQUENT_RANKS, 2),
                strict=True,
            )
        ],
        "ten words of a caption": some[:QUERIES],
    }
    results = []
    with one_thread():
        for name, queries in kinds.items():
            ways = {
                mode: partial(_search, searcher, queries, TextMode(mode))
                for mode in ("off", "auto")
            }
            times = in_turns(ways, QUERIES, warm_ups=1)
            task = f"search {corpus.captions:,} captions of {corpus.items:,} items, {name}"
            added = times["auto"] - times["off"]
            results.append(row(task, "milliseconds that words add, p50", added, 5.0))
            late = float(np.percentile(added.values, 99))
            results.append(Result(SUITE, task, "milliseconds that words add, p99", late))
    return results


def _random_words(rng: np.random.Generator, ranks: tuple[int, int], count: int) -> list[str]:
    chosen: NDArray[np.int64] = rng.integers(*ranks, (QUERIES, count))
    return [" ".join(word(rank) for rank in each) for each in chosen.tolist()]


def _search(searcher: Searcher, queries: Sequence[str], mode: TextMode, turn: int) -> float:
    """Return the milliseconds of a search, without those of encoding the query."""
    query = queries[turn]
    start = time.perf_counter()
    result = searcher.search(query, SearchOptions(k=K, text=mode))
    total_ms = (time.perf_counter() - start) * 1e3
    if len(result.hits) != K:
        raise RuntimeError(f"{query!r} returned {len(result.hits)} hits, expected {K}")
    return total_ms - result.took_ms.encode


def _tantivy_alone(folder: Path, captions: Sequence[str]) -> None:
    """Index texts with the default tokenizer, which folds case, and their numbers."""
    schema = (
        tantivy.SchemaBuilder().add_text_field("text").add_integer_field("row", fast=True).build()
    )
    writer = tantivy.Index(schema, path=str(folder)).writer(HEAP_BYTES, num_threads=1)
    for number, caption in enumerate(captions):
        writer.add_document(tantivy.Document(text=caption, row=number))
    writer.commit()
    writer.wait_merging_threads()


def _write(root: Path, corpus: Corpus, encoder: VectorEncoder) -> None:
    space = Space(f"vectors-{DIM}", encoder.spec, DIM, encoder.media, encoder.digest)
    untimed = np.full(1, np.nan, np.float32)
    number = 0
    with CollectionWriter.open(root, create=True) as writer:
        writer.add_space(space)
        for captions in corpus.blocks():
            vectors = clustered(len(captions) // CAPTIONS_EACH, DIM, number)
            for n, vector in enumerate(vectors):
                each = captions[n * CAPTIONS_EACH : (n + 1) * CAPTIONS_EACH]
                info = MediaInfo(
                    f"/archive/{number:07}.jpg", Medium.IMAGE, 1, 1.7e9, f"{number:064x}",
                    columns={"year": 1990 + number % 30},
                    texts=tuple(TimedText(TextSource.CAPTION, caption) for caption in each),
                )  # fmt: skip
                segments = Segments([Medium.IMAGE], untimed, untimed, vector[None])
                writer.add(EmbeddedItem(info, {space.name: segments}))
                number += 1
            if writer.is_due():
                writer.publish()
