"""Measures the server: warm queries, many clients and connections, the command line, the page.

A bare route of starlette, the encoder alone and raw FAISS run in the same turns.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from benchmarks.results.outcome import Result
from benchmarks.speed import SUITE
from benchmarks.speed.clip_text_tower import DIM, ClipTextTower
from benchmarks.speed.harness import Sample, in_turns, one_thread, row, seconds
from benchmarks.speed.photographs import write_photographs
from benchmarks.speed.serve_page import page_results
from benchmarks.speed.served import request_all, serving
from benchmarks.speed.vectors import VectorEncoder, clustered, write_items, write_vectors
from indexes.saved import open_index
from retrieval.embedding.options import EmbedOptions
from retrieval.embedding.run import embed
from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.spaces import make_space
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.request import IndexRequest
from retrieval.store.reader import Snapshot
from retrieval.types import Sampling

logger = logging.getLogger(__name__)

ROWS, K = 100_000, 10
TURNS, WARM_UPS = 31, 3
CLIENTS, TEXTS = 64, 512
BATCH = 64
CONNECTIONS = 1_000
PHOTOGRAPHS = 200
RUNS = 7
COMMAND = "from cli.main import main; main()"


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure all figures; `scale` changes the number of rows and photographs."""
    rows = max(1_000, round(ROWS * scale))
    return [
        *_queries(folder / "serve-vectors", rows),
        *_command_line(folder / "serve-tiny", rows),
        *_thumbnails(folder / "serve-photographs", max(10, round(PHOTOGRAPHS * scale))),
    ]


# ---------------------------------------------------------------- queries


def _queries(root: Path, rows: int) -> list[Result]:
    logger.info("writing %d vectors and their index", rows)
    shutil.rmtree(root, ignore_errors=True)
    write_vectors(root, items=rows, rows_each=1, dim=DIM)
    # Only the calibration of scores encodes texts here, and it does not affect the times.
    build_index(root, request=IndexRequest("exact"), encoders=lambda space: VectorEncoder(DIM))
    tower = ClipTextTower()
    cache = root.with_name("serve-cache")
    with serving("clip", root, cache) as port, serving("bare", root, cache) as bare:
        _wait_for_examples(port)
        return [
            *_warm_query(port, bare, root, tower, rows),
            *_many_clients(port, tower, rows),
            *_many_connections(port),
        ]


def _wait_for_examples(port: int) -> None:
    """Wait until the server has chosen the example queries, which encodes texts."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/api/collections")
    answer = connection.getresponse()
    _check([answer.status])
    answer.read()


def _warm_query(port: int, bare: int, root: Path, tower: ClipTextTower, rows: int) -> list[Result]:
    """Time one query after the other, each with a text that the server has not seen."""
    (path,) = root.glob("indexes/*/*/exact.faiss")
    index = open_index(path)
    queries = [clustered(1, DIM, number + 10**6) for number in range(TURNS + WARM_UPS)]
    server = http.client.HTTPConnection("127.0.0.1", port)
    route = http.client.HTTPConnection("127.0.0.1", bare)
    outside: list[float] = []
    with one_thread():
        times = in_turns(
            {
                "served": lambda turn: _milliseconds(server, turn, outside),
                "encode": lambda turn: 1e3 * seconds(lambda: tower.encode_text([_text(turn)])),
                "search": lambda turn: 1e3 * seconds(lambda: index.search(queries[turn], K)),
                "bare": lambda turn: _milliseconds(route, turn),
            },
            TURNS,
            warm_ups=WARM_UPS,
        )
    task = f"warm text query, {rows:,} × {DIM}, k = {K}"
    own = times["encode"] + times["search"]
    return [
        row(task, "milliseconds outside of the stages", Sample(tuple(outside[WARM_UPS:])), 3.0),
        row(task, "milliseconds over encoder and raw FAISS", times["served"] - own, 3.0),
        row(task, "milliseconds", times["served"], baseline=own.median),
        row(task, "milliseconds, encoder alone", times["encode"]),
        row(task, "milliseconds, raw FAISS", times["search"]),
        row(task, "milliseconds, bare starlette route", times["bare"]),
    ]


def _text(number: int) -> str:
    return f"a photograph of thing number {number} on a table in the evening"


def _target(number: int) -> str:
    return f"/api/search?k={K}&q={quote(_text(number))}"


def _milliseconds(
    connection: http.client.HTTPConnection, number: int, outside: list[float] | None = None
) -> float:
    """Time a request; `outside` receives the part that is not the encoder's or the search's."""
    start = time.perf_counter()
    connection.request("GET", _target(number))
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != http.client.OK:
        raise RuntimeError(f"status {answer.status}: {content[:200]!r}")
    total = (time.perf_counter() - start) * 1e3
    if outside is not None:
        outside.append(total - sum(json.loads(content)["took_ms"].values()))
    return total


def _many_clients(port: int, tower: ClipTextTower, rows: int) -> list[Result]:
    """Compare the rate of new texts from many clients with that of the encoder alone."""
    texts = [_text(10_000 + number) for number in range(BATCH * 2)]
    with one_thread():
        tower.encode_text(texts[:BATCH])
        alone = len(texts) / seconds(
            lambda: [tower.encode_text(texts[i : i + BATCH]) for i in (0, BATCH)]
        )
    targets = [_target(20_000 + number) for number in range(TEXTS)]
    start = time.perf_counter()
    statuses = asyncio.run(request_all(port, targets, CLIENTS))
    rate = len(targets) / (time.perf_counter() - start)
    _check(statuses)
    task = f"{CLIENTS} clients, {rows:,} × {DIM}, one thread for the encoder"
    return [
        row(task, "share of the encoder's own batched rate", Sample((rate / alone,)), 0.8),
        row(task, "queries per second", Sample((rate,)), baseline=alone),
    ]


def _many_connections(port: int) -> list[Result]:
    """Count lost requests of a thousand connections, and the growth of memory from then on."""
    targets = [_target(number % 8) for number in range(CONNECTIONS)]
    lost = 0
    memory = []
    for _ in range(3):
        statuses = asyncio.run(request_all(port, targets, CONNECTIONS, rounds=2))
        lost += sum(status != http.client.OK for status in statuses)
        memory.append(_resident_bytes(port))
    task = f"{CONNECTIONS:,} connections at once"
    return [
        Result(SUITE, task, "lost requests", float(lost), 0.0),
        Result(SUITE, task, "memory after the third wave ÷ after the first",
               memory[-1] / memory[0], 1.05),
        Result(SUITE, task, "resident MB", memory[-1] / 1e6),
    ]  # fmt: skip


def _resident_bytes(port: int) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    match = re.search(r"^retrieval_resident_memory_bytes (\S+)$", text, re.MULTILINE)
    if match is None:
        raise RuntimeError("the server reports no memory")
    return float(match[1])


def _check(statuses: Sequence[int]) -> None:
    bad = [status for status in statuses if status != http.client.OK]
    if bad:
        raise RuntimeError(f"{len(bad)} of {len(statuses)} requests failed: {bad[:5]}")


# ---------------------------------------------------------------- the command line


def _command_line(root: Path, rows: int) -> list[Result]:
    """Time whole searches of the command line by the bundled model, with a server and without."""
    shutil.rmtree(root, ignore_errors=True)
    encoder = load_encoder("tiny-image", device="cpu")
    space = make_space(encoder, sampling=Sampling(), windows=None)
    blocks = (clustered(10_000, space.dim, number) for number in range(-(-rows // 10_000)))
    write_items(root, blocks, rows_each=1, encoder=encoder, space=space)
    build_index(root, request=IndexRequest("exact"), encoders=lambda space: encoder)
    cache = root.with_name("serve-cache")
    environment = {
        **os.environ,
        "XDG_RUNTIME_DIR": str(cache),
        "OMP_NUM_THREADS": "1",
        # Compiled modules, as an installation has them.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(cache / "bytecode"),
    }

    def search(turn: int) -> float:
        command = [sys.executable, "-c", COMMAND, "search", str(root), _text(turn)]
        return seconds(
            lambda: subprocess.run(
                [*command, "--format", "json"], check=True, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, env=environment,
            )
        )  # fmt: skip

    cold = in_turns({"cold": search}, 3)["cold"]
    with serving("catalogue", root, cache):
        times = in_turns(
            {"warm": search, "python": lambda turn: seconds(_start_python)}, RUNS, warm_ups=1
        )
    task = f"`retrieval search`, {rows:,} × {space.dim}, with the start of the process"
    return [
        row(task, "seconds with a running server", times["warm"], 0.4, baseline=cold.median),
        row(task, "seconds without a server", cold),
        row(task, "seconds to start Python alone", times["python"]),
    ]


def _start_python() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True)


# ---------------------------------------------------------------- thumbnails


def _thumbnails(folder: Path, count: int) -> list[Result]:
    """Time the thumbnails of photographs, from their files and from the cache."""
    shutil.rmtree(folder, ignore_errors=True)
    logger.info("writing %d photographs", count)
    write_photographs(folder / "media", count, megapixels=(2, 12))
    root = folder / "collection"
    embed([folder / "media"], root, EmbedOptions(models=("tiny",), device="cpu"))
    ids = Snapshot.open(root).item_ids().tolist()
    targets = [f"/thumbnails/collection/{item_id}" for item_id in ids]
    times = []
    with serving("catalogue", root, folder / "cache") as port:
        for _ in range(4):
            start = time.perf_counter()
            _check(asyncio.run(request_all(port, targets, connections=6)))
            times.append(time.perf_counter() - start)
    with serving("catalogue", root, folder / "cache") as port:
        start = time.perf_counter()
        _check(asyncio.run(request_all(port, targets, connections=6)))
        from_disk = time.perf_counter() - start
    with serving("catalogue", root, folder / "page-cache") as port:
        page = page_results(port, len(ids))
    task = f"thumbnails of {len(ids)} photographs of 2-12 megapixels"
    return [
        Result(SUITE, task, "seconds, cold", times[0], 2.0),
        Result(SUITE, task, "milliseconds, from the cache in memory",
               1e3 * float(np.median(times[1:])), 100.0),
        Result(SUITE, task, "milliseconds, from the cache on disk", 1e3 * from_disk, 100.0),
        *page,
    ]  # fmt: skip
