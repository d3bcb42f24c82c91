"""Speed and memory benchmarks.

Each figure with a goal is a ratio or a difference within one run, so that it is comparable between
machines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.suite import ProgramSuite, imported

SUITE: Final = "speed"
"""Name of the suite in results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedBenchmark(ProgramSuite):
    """A benchmark of speed or memory.

    Attributes:
        by_default: Whether it runs when no benchmark is named. Others take hours, much disk space,
            or a GPU.
        takes_vectors: Whether it measures rows and texts of a user.
    """

    by_default: bool = True
    takes_vectors: bool = False


def _benchmark(
    name: str, module: str, summary: str, *, by_default: bool = True, takes_vectors: bool = False
) -> SpeedBenchmark:
    return SpeedBenchmark(
        name=name,
        summary=summary,
        load=imported(f"benchmarks.speed.{module}"),
        by_default=by_default,
        takes_vectors=takes_vectors,
    )


_BENCHMARKS: Final = (
    _benchmark(
        "embed", "embedding",
        "how much longer `embed` takes than the model alone, on photographs.",
    ),
    _benchmark(
        "ingest", "ingest",
        "`import`, the writer, `compact` and `export`, compared with pyarrow on the same rows.",
    ),
    _benchmark(
        "decode", "decode",
        "decoding for a model, compared with plain Pillow, soundfile and PyAV.",
    ),
    _benchmark(
        "video", "video",
        "sampling one frame per second, compared with decoding all and with seeking.",
    ),
    _benchmark(
        "search", "search",
        "a whole search, metadata included, compared with FAISS on the same index.",
    ),
    _benchmark(
        "filter", "filter",
        "filtered search, compared with an unfiltered one and a scan of the rest.",
    ),
    _benchmark(
        "text", "text", "the index of texts compared with tantivy alone, and what words add to a "
        "search.",
    ),
    _benchmark(
        "members", "members",
        "four collections searched as one, compared with a single collection of the same rows.",
        by_default=False,
    ),
    _benchmark(
        "index", "index",
        "the engine's index, compared with FAISS, autofaiss, LanceDB, hnswlib and usearch.",
        by_default=False, takes_vectors=True,
    ),
    _benchmark(
        "index-large", "index_large",
        "ten million rows within 16 GiB, built and searched on two cores.", by_default=False,
    ),
    _benchmark(
        "localize", "localize", "the time to localize moments, by Hammer and by `similarity`.",
    ),
    _benchmark(
        "memory", "memory", "peak memory of `embed`, of index builds and of ranking metrics.",
    ),
    _benchmark(
        "serve", "serve",
        "the server, compared with a bare route, the encoder alone and raw FAISS.",
    ),
    _benchmark(
        "ray", "cluster", "`embed` on a Ray cluster of this machine, compared with plain `embed`.",
        by_default=False,
    ),
    _benchmark(
        "startup", "startup",
        "how long `retrieval --help` and the first answer of a process take.",
    ),
    _benchmark(
        "gpu", "gpu", "exact and approximate search on a GPU, compared with plain torch on it.",
        by_default=False,
    ),
)  # fmt: skip

SUBJECTS: Final = {benchmark.name: benchmark for benchmark in _BENCHMARKS}
"""All speed benchmarks by name."""
