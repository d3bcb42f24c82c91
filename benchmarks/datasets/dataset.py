"""Descriptions of data sets: their files, licence, source and published figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from retrieval.errors import SourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One split of a data set.

    Attributes:
        title: The data set and its split, as papers name them.
        task: The task, such as `text to image`.
        size: Published size of the gallery and number of queries.
        licence: Licence of annotations and media.
        source: Publication and download location.
        files: Official names of the files in the data folder; a folder ends with a slash.
        alternatives: Other names of the first of `files`.
        reported: Published figures by model, then by task and metric. A model is a specification
            or its name in papers. A ranking suite shows the figures of the model that it runs.
    """

    title: str
    task: str
    size: str
    licence: str
    source: str
    files: tuple[str, ...]
    alternatives: tuple[str, ...] = ()
    reported: Mapping[str, Mapping[tuple[str, str], float]] = field(default_factory=dict)

    def missing(self, data: Path) -> list[str]:
        """List the files and folders that do not exist in `data`."""
        has_alternative = any((data / name).exists() for name in self.alternatives)
        needed = self.files[1:] if has_alternative else self.files
        return [name for name in needed if not (data / name).exists()]

    def check(self, data: Path) -> None:
        """Refuse a folder that lacks files.

        Raises:
            SourceError: The message lists all missing files and the source.
        """
        missing = self.missing(data)
        if missing:
            raise SourceError(
                f"{self.title}: {data} lacks {', '.join(missing)}; they come from {self.source}"
            )
