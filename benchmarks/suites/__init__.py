"""The table of all quality suites, and the loader of suites in other files."""

from __future__ import annotations

import importlib.util
from inspect import signature
from pathlib import Path
from typing import Final

from benchmarks.datasets.dataset import DataSet
from benchmarks.datasets.emoji import EMOJI
from benchmarks.datasets.esc10 import ESC10
from benchmarks.suite import ProgramSuite, Suite, imported
from benchmarks.suites import (
    activitynet,
    activitynet_moments,
    audiocaps,
    charades,
    clotho,
    coco,
    didemo,
    didemo_moments,
    esc50,
    flickr30k,
    msrvtt,
    msvd,
    musiccaps,
    qvhighlights,
    songdescriber,
    tacos,
    tvr,
    vatex,
)
from retrieval.errors import QueryError, SourceError


def _program(name: str, summary: str, data_set: DataSet | None = None) -> ProgramSuite:
    """Describe the suite whose program is the function `run` of the module of its name."""
    load = imported(f"benchmarks.suites.{name.replace('-', '_')}")
    return ProgramSuite(name=name, summary=summary, data_set=data_set, load=load)


_GENERATED: Final = (
    _program("demo", "the bundled models on a held-out demo world."),
    _program("demo-moments", "moments in held-out demo videos, by Hammer and by baselines."),
    _program("demo-video", "a video-text model and the mean of frames on held-out demo videos."),
    _program("demo-hybrid", "vectors, words and their fusions on a demo world with texts."),
    _program("demo-rerank", "captions with relations, before and after a small re-ranker."),
    _program("ocr", "words in 200 drawn pictures, read by the extra `ocr`."),
)
"""Suites on generated data with bundled models."""

_TRAINED: Final = (
    _program("esc10", "recorded sounds in five folds, classified by the text of a class.", ESC10),
    _program("esc10-moments", "sounds within long recordings, by Hammer and by baselines.", ESC10),
    _program(
        "emoji",
        "a model trained on the names of emoji, queried by keywords not in the names.",
        EMOJI,
    ),
)
"""Suites that train their own models on a data set."""

_OFFICIAL: Final = (
    flickr30k, coco, msrvtt, msvd, didemo, activitynet, vatex, musiccaps, songdescriber, clotho,
    audiocaps, esc50, qvhighlights, charades, tacos, activitynet_moments, tvr, didemo_moments,
)  # fmt: skip
"""Modules of the suites that measure any model on an official data set."""

SUITES: Final[dict[str, Suite]] = {
    suite.name: suite for suite in (*_GENERATED, *_TRAINED, *(module.SUITE for module in _OFFICIAL))
}
"""All suites by name."""


def find_suite(name: str) -> Suite:
    """Find a suite by its name, or load it from a Python file.

    A file holds a suite named `SUITE`, or a data set named `DATA` and a function `run`.

    Raises:
        QueryError: No suite has this name.
        SourceError: The file does not exist or holds no suite.
    """
    if not name.endswith(".py"):
        if name not in SUITES:
            raise QueryError(f"no suite called {name!r}; there is: {', '.join(SUITES)}")
        return SUITES[name]
    path = Path(name)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise SourceError(f"{name}: no such file; name a suite or the file of one")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    suite = getattr(module, "SUITE", None)
    if isinstance(suite, Suite):
        return suite
    if not hasattr(module, "DATA") or not hasattr(module, "run"):
        raise SourceError(
            f"{name} has no SUITE, and no DATA with run; docs/benchmarking.md shows a suite"
        )
    parameters = signature(module.run).parameters
    return ProgramSuite(
        name=path.stem,
        summary="",
        data_set=module.DATA,
        takes_models="models" in parameters,
        takes_localizer="localizer" in parameters,
        load=lambda: module.run,
    )


def data_folder_of(data: Path, name: str) -> Path:
    """Return the folder of a suite's name inside `data` if it exists, else `data`."""
    own = data / name
    return own if own.is_dir() else data
