"""Descriptions of moment suites, and their annotations and videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.datasets.dataset import DataSet
from benchmarks.datasets.stored_texts import ItemTexts
from benchmarks.hybrid.comparison import Group
from benchmarks.suite import Suite
from retrieval.errors import SourceError
from retrieval.evaluation.annotations import AnnotatedQuery, read_annotations
from retrieval.media.files import EXTENSIONS
from retrieval.media.names import extension
from retrieval.types import Medium

VIDEOS: Final = "videos"
"""Folder of the videos in the data folder."""


@dataclass(frozen=True, slots=True)
class TimedQuery(AnnotatedQuery):
    """A query with at least one true window, and the duration of its video."""

    duration_seconds: float


@dataclass(frozen=True, slots=True)
class QuerySplits:
    """The queries of a suite.

    Attributes:
        test: The queries to run, in the order of the data set.
        training: The training split, on which the constant window is chosen. Empty if its file
            is missing.
    """

    test: Sequence[TimedQuery]
    training: Sequence[TimedQuery] = ()


@dataclass(frozen=True, slots=True)
class HybridTexts:
    """The texts of a suite's videos, and what can answer its queries.

    Attributes:
        texts: Texts by video.
        groups: Group of each query by its id; other queries are not compared.
    """

    texts: ItemTexts
    groups: Mapping[str, Group]


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentSuite(Suite):
    """Finds moments from sentences: in the true video and, for some suites, in all videos.

    Attributes:
        data_set: Its first file, or an alternative, holds the test queries.
        training_files: Alternative files of the training split, which is optional.
        searches_corpus: Also search all videos.
        reports_map: Also report mAP, for queries with several true windows.
        read: Reads a file. The default reads all formats of `retrieval.evaluation.annotations`.
        read_texts: Reads the texts of videos in a folder; None if the data set has none, or if it
            returns None because their file is missing.
    """

    data_set: DataSet
    takes_localizer: bool = True
    training_files: tuple[str, ...] = ()
    searches_corpus: bool = False
    reports_map: bool = False
    read: Callable[[Path], Iterable[AnnotatedQuery]] = read_annotations
    read_texts: Callable[[Path, Sequence[str]], HybridTexts | None] | None = None

    def queries(self, data: Path) -> QuerySplits:
        """Read the annotations in a folder.

        Raises:
            SourceError: They are missing, hold no query, or are in an unknown format.
        """
        names = (self.data_set.files[0], *self.data_set.alternatives)
        path = _first_existing(data, names)
        if path is None:
            raise SourceError(
                f"{self.data_set.title}: {data} lacks {' or '.join(names)}; "
                f"it comes from {self.data_set.source}"
            )
        training = _first_existing(data, self.training_files)
        return QuerySplits(self._read(path), [] if training is None else self._read(training))

    def _read(self, path: Path) -> list[TimedQuery]:
        queries = []
        for query in self.read(path):
            if query.duration_seconds is None:
                raise SourceError(f"{path} holds no duration of {query.video_id}")
            queries.append(
                TimedQuery(
                    query.video_id,
                    query.query,
                    query.windows,
                    query.duration_seconds,
                    query.query_id,
                )
            )
        if not queries:
            raise SourceError(f"{path} holds no query with a moment")
        return queries


def video_files(folder: Path, video_ids: Iterable[str]) -> Mapping[str, Path]:
    """Find the files of videos anywhere in a folder; missing videos are omitted.

    A file name is the id with or without the extension that the id may have, because copies of
    data sets are often converted.

    Raises:
        SourceError: Two videos have the same file.
    """
    known: dict[str, Path] = {}
    for found in sorted(folder.rglob("*")):
        if Medium.VIDEO in EXTENSIONS.get(extension(found.name), ()) and found.is_file():
            known.setdefault(found.stem, found)
            known.setdefault(found.name, found)
    files = {
        video: path
        for video in video_ids
        if (path := known.get(video) or known.get(_without_extension(video)))
    }
    for file, count in Counter(files.values()).items():
        if count > 1:
            raise SourceError(f"{file} matches several videos of the data set; name it by its id")
    return files


def _without_extension(video_id: str) -> str:
    """Remove an extension. The ids of QVHighlights end with a time such as `360.0` instead."""
    stem, dot, ending = video_id.rpartition(".")
    return stem if dot and not ending.isdigit() else video_id


def _first_existing(data: Path, names: Sequence[str]) -> Path | None:
    return next((data / name for name in names if (data / name).is_file()), None)
