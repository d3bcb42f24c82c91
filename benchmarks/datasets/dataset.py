"""Data sets that others made: what a suite needs of one, and what people should know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from retrieval.errors import SourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """What `bench list` shows of a suite, and what it reads.

    Attributes:
        title: The data set and its split, as papers name them.
        task: What is asked, as `text to image`.
        size: Of the gallery and the queries, as published.
        licence: Of the data, in words.
        source: Where it comes from, in words.
        files: Official names below `--data`; a folder ends with a slash.
        instead: Other names that serve as well as the first of `files`.
        published: What the literature reports, printed beside a run: by task and metric.
        reported: The same of models that are named: by specification, as `--model` takes it, or
            by their name in papers. A ranking suite prints it beside a run of that very model.
    """

    title: str
    task: str
    size: str
    licence: str
    source: str
    files: tuple[str, ...]
    instead: tuple[str, ...] = ()
    published: Mapping[tuple[str, str], float] = field(default_factory=dict)
    reported: Mapping[str, Mapping[tuple[str, str], float]] = field(default_factory=dict)

    def missing(self, data: Path) -> list[str]:
        """Files and folders that are not below `data`."""
        there = any((data / name).exists() for name in self.instead)
        needed = self.files[1:] if there else self.files
        return [name for name in needed if not (data / name).exists()]

    def check(self, data: Path) -> None:
        """Refuse a folder that lacks files.

        Raises:
            SourceError: One message that lists them all, and says where they come from.
        """
        missing = self.missing(data)
        if missing:
            raise SourceError(
                f"{self.title}: {data} lacks {', '.join(missing)}; they come from {self.source}"
            )
