"""What a suite of moments is made of; imports nothing heavy, so that `bench list` stays quick."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.datasets.dataset import DataSet
from benchmarks.results.outcome import Outcome
from retrieval.errors import SourceError
from retrieval.evaluation.annotations import AnnotatedQuery, read_annotations
from retrieval.media.files import EXTENSIONS
from retrieval.media.names import extension
from retrieval.types import Medium

VIDEOS: Final = "videos"
"""Folder of the videos below `--data`."""


@dataclass(frozen=True, slots=True)
class Question(AnnotatedQuery):
    """A query with at least one true window, of a video whose length is known."""

    duration_seconds: float


@dataclass(frozen=True, slots=True)
class Questions:
    """What a suite asks.

    Attributes:
        asked: In the order of the data set.
        learnt: Those of the training split, on which the constant window is chosen; empty where
            its file is not there.
    """

    asked: Sequence[Question]
    learnt: Sequence[Question] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentSuite:
    """Sentences that should find moments: in their video and, where the field does, in all.

    Attributes:
        name: As `bench run` knows it.
        data_set: Its first file, or one that serves as well, is of the split that is asked.
        learnt: The training split's, the first that is there; the suite does without.
        corpus: Search all videos too.
        with_map: Print mAP too, where queries have several true windows.
        read: Reads a file; the default knows every format of `retrieval.evaluation.annotations`.
    """

    name: str
    data_set: DataSet
    learnt: tuple[str, ...] = ()
    corpus: bool = False
    with_map: bool = False
    read: Callable[[Path], Iterable[AnnotatedQuery]] = read_annotations

    def questions(self, data: Path) -> Questions:
        """Read the annotations below a folder.

        Raises:
            SourceError: They are missing, hold no query, or are in none of the formats.
        """
        names = (self.data_set.files[0], *self.data_set.instead)
        path = _first(data, names)
        if path is None:
            raise SourceError(
                f"{self.data_set.title}: {data} lacks {' or '.join(names)}; "
                f"it comes from {self.data_set.source}"
            )
        learnt = _first(data, self.learnt)
        return Questions(self._read(path), [] if learnt is None else self._read(learnt))

    def run(
        self,
        *,
        say: Callable[[str], None],
        folder: Path,
        data: Path,
        scale: float = 1.0,
        models: Sequence[str] = (),
        localizer: str = "auto",
    ) -> Outcome:
        """Embed the videos and ask every query; without any video, measure the blind floors.

        Args:
            say: Told about every step.
            folder: Where the collection is kept; a second run there embeds nothing.
            data: Folder of the official files.
            scale: Share of the queries, for a quick look; figures are comparable at 1 only.
            models: As `embed --model`; empty: the collection's own, else the default.
            localizer: As `search --localizer`; `similarity` is measured beside it.

        Raises:
            SourceError: Annotations are missing or in none of the formats, or the folder's
                collection holds other videos.
            UnknownModelError: No such model, or none that embeds videos.
        """
        questions = self.questions(data)
        asked = questions.asked[: max(1, round(scale * len(questions.asked)))]

        from benchmarks.moments.run import MomentRun

        run = MomentRun(self, replace(questions, asked=asked), len(questions.asked), say)
        files = video_files(data / VIDEOS, [one.video_id for one in asked])
        return run.measure(files, folder, models, localizer) if files else run.measure_blind(data)

    def _read(self, path: Path) -> list[Question]:
        questions = []
        for one in self.read(path):
            if one.duration_seconds is None:
                raise SourceError(f"{path} does not tell how long {one.video_id} is")
            questions.append(
                Question(one.video_id, one.query, one.windows, one.duration_seconds, one.query_id)
            )
        if not questions:
            raise SourceError(f"{path} holds no query with a moment")
        return questions


def video_files(folder: Path, video_ids: Iterable[str]) -> Mapping[str, Path]:
    """The file of each video, as far as there is one anywhere below a folder.

    A video is found by its id, with or without the extension that an id may have: many who copy
    a data set convert its videos.

    Raises:
        SourceError: Two videos have the same file.
    """
    known: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if Medium.VIDEO in EXTENSIONS.get(extension(path.name), ()) and path.is_file():
            known.setdefault(path.stem, path)
            known.setdefault(path.name, path)
    found = {one: known.get(one) or known.get(_without_extension(one)) for one in video_ids}
    there = {one: path for one, path in found.items() if path is not None}
    if len(set(there.values())) < len(there):
        twice = next(path for path in there.values() if list(there.values()).count(path) > 1)
        raise SourceError(f"{twice} could be several of the data set's videos; name it by its id")
    return there


def _without_extension(video_id: str) -> str:
    """QVHighlights' ids end with a time such as `360.0`, which is none."""
    stem, dot, ending = video_id.rpartition(".")
    return stem if dot and not ending.isdigit() else video_id


def _first(data: Path, names: Sequence[str]) -> Path | None:
    return next((data / name for name in names if (data / name).is_file()), None)
