"""Times `retrieval --help`, and the first answer of a process to a text query.

The model has the size of ViT-B/32 and random weights. Processor time is that of the whole process.
"""

from __future__ import annotations

import logging
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.results.outcome import Result
from benchmarks.speed.clip_text_tower import write_random_clip
from benchmarks.speed.harness import Sample, in_turns, row, seconds, timed
from benchmarks.speed.photographs import write_photographs
from retrieval.collection import Collection
from retrieval.embedding.options import EmbedOptions

logger = logging.getLogger(__name__)

RUNS = 11
FIRST_ANSWERS = 5
PHOTOGRAPHS = 20
COMMAND = "from cli.main import main; main()"


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Time several runs, with the start of Python itself, and of torch, as baselines."""
    return [_help(), *_first_answer(folder, max(4, round(PHOTOGRAPHS * scale)))]


def _help() -> Result:
    logger.info("starting %d times", RUNS)
    times = in_turns(
        {
            "help": timed(lambda: _run("-c", COMMAND, "--help")),
            "python": timed(lambda: _run("-c", "pass")),
        },
        RUNS,
    )
    python = times["python"].median
    return row("retrieval --help", "seconds", times["help"], goal=0.3, baseline=python)


def _first_answer(folder: Path, photographs: int) -> list[Result]:
    """Time searches in new processes, with what `embed` remembers of the model and without."""
    weights, root, cache = folder / "ViT-B-32.safetensors", folder / "startup", folder / "cache"
    for path in (root, cache):
        shutil.rmtree(path, ignore_errors=True)
    write_random_clip(weights)
    write_photographs(folder / "startup-photographs", photographs, megapixels=(0.5, 1.0))
    collection = Collection(root, device="cpu")
    collection.add(
        folder / "startup-photographs",
        options=EmbedOptions(models=(f"open_clip:ViT-B-32/{weights}",), device="cpu"),
    )
    collection.index()
    arguments = ("-c", COMMAND, "search", str(root), "a dog on the beach", "--format", "json")

    def search(name: str) -> Callable[[], None]:
        return lambda: _run(*arguments, cache=cache / name)

    processor: dict[str, list[float]] = {"known": [], "unknown": [], "torch": []}

    def unknown(turn: int) -> float:
        shutil.rmtree(cache / "unknown", ignore_errors=True)
        return _measured(search("unknown"), processor["unknown"])

    times = in_turns(
        {
            "unknown": unknown,
            "known": lambda turn: _measured(search("known"), processor["known"]),
            "torch": lambda turn: _measured(lambda: _run("-c", "import torch"), processor["torch"]),
        },
        FIRST_ANSWERS,
        warm_ups=1,
    )
    cpu = {name: Sample(tuple(each[1:])) for name, each in processor.items()}
    task = "first answer of a process to a text, ViT-B/32"
    return [
        row(task, "CPU seconds", cpu["known"], 2.5, baseline=cpu["torch"].median),
        row(task, "seconds", times["known"], 1.5, baseline=times["torch"].median),
        row(task, "CPU seconds, model not used before", cpu["unknown"]),
        row(task, "seconds, model not used before", times["unknown"]),
    ]


def _measured(work: Callable[[], object], processor: list[float]) -> float:
    """Return the wall time of child processes; add their processor time to a list."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = seconds(work)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return wall


def _run(*arguments: str, cache: Path | None = None) -> None:
    environment = dict(os.environ)
    if cache is not None:
        # Compiled modules, as an installation has them, and no running server.
        environment |= {
            "XDG_CACHE_HOME": str(cache),
            "XDG_RUNTIME_DIR": str(cache),
            "PYTHONDONTWRITEBYTECODE": "",
        }
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
