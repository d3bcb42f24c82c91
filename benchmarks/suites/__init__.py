"""Quality suites: what `retrieval bench run` measures, one module per suite.

A suite is a module with a `run` that gives an `Outcome`. One on data that others made also has
`DATA`, and its `run` takes `data` and `models`; it may lie anywhere, see docs/benchmarking.md.
"""

from __future__ import annotations

import importlib
import importlib.util
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from retrieval.errors import SourceError

if TYPE_CHECKING:
    from benchmarks.datasets.dataset import DataSet

GENERATED: Final = {
    "demo": "benchmarks.suites.demo",
    "demo-moments": "benchmarks.suites.demo_moments",
    "demo-video": "benchmarks.suites.demo_video",
    "demo-rerank": "benchmarks.suites.demo_rerank",
}
"""Suites that generate what they ask about, and bring their models."""

TRAINED: Final = {
    "esc10": "benchmarks.suites.esc10",
    "esc10-moments": "benchmarks.suites.esc10_moments",
    "emoji": "benchmarks.suites.emoji",
}
"""Suites that train their models on a data set: `run` takes its folder as `data`."""

TRAINED_ON: Final = {
    "esc10": "benchmarks.datasets.esc10_card",
    "esc10-moments": "benchmarks.datasets.esc10_card",
    "emoji": "benchmarks.datasets.emoji",
}
"""The light modules that say what those read."""

ASKED: Final = {
    "flickr30k": "benchmarks.suites.flickr30k",
    "coco": "benchmarks.suites.coco",
    "msrvtt": "benchmarks.suites.msrvtt",
    "msvd": "benchmarks.suites.msvd",
    "didemo": "benchmarks.suites.didemo",
    "activitynet": "benchmarks.suites.activitynet",
    "vatex": "benchmarks.suites.vatex",
    "musiccaps": "benchmarks.suites.musiccaps",
    "songdescriber": "benchmarks.suites.songdescriber",
    "clotho": "benchmarks.suites.clotho",
    "audiocaps": "benchmarks.suites.audiocaps",
    "esc50": "benchmarks.suites.esc50",
    "qvhighlights": "benchmarks.suites.qvhighlights",
    "charades": "benchmarks.suites.charades",
    "tacos": "benchmarks.suites.tacos",
    "activitynet-moments": "benchmarks.suites.activitynet_moments",
    "tvr": "benchmarks.suites.tvr",
    "didemo-moments": "benchmarks.suites.didemo_moments",
}
"""Suites that ask any model about a data set: `run` takes `data` and `models`. Light modules."""

SUITES: Final = GENERATED | TRAINED | ASKED
"""The module of every suite, imported when it is asked for."""


def load_module(target: str) -> ModuleType:
    """Import a suite: a module by its name, or a file that ends with .py, wherever it lies.

    Raises:
        SourceError: There is no such file, or it has no `DATA` or `run`.
    """
    if not is_file(target):
        return importlib.import_module(target)
    path = Path(target)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise SourceError(f"{target}: there is no such file; name a suite or its file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "DATA") or not hasattr(module, "run"):
        raise SourceError(f"{target} has no DATA or no run; docs/benchmarking.md shows a suite")
    return module


def is_file(name: str) -> bool:
    """Whether a suite is named by its file."""
    return name.endswith(".py")


def reads_data(name: str) -> bool:
    """Whether `run` takes the folder of a data set."""
    return name in TRAINED or takes_models(name)


def takes_models(name: str) -> bool:
    """Whether `run` takes models."""
    return name in ASKED or is_file(name)


def takes_localizer(name: str) -> bool:
    """Whether `run` takes the name of a localizer."""
    target = ASKED.get(name, name)
    return takes_models(name) and "localizer" in signature(load_module(target).run).parameters


def data_set(name: str) -> DataSet | None:
    """What one of `SUITES` reads, importing nothing heavy; None where it generates everything."""
    if not reads_data(name):
        return None
    found: DataSet = importlib.import_module((ASKED | TRAINED_ON)[name]).DATA
    return found


def folder_of(data: Path, name: str) -> Path:
    """Where a suite's files lie: in the folder of its name below `data`, or in `data` itself."""
    own = data / name
    return own if own.is_dir() else data
