"""Descriptions of ranking suites."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.datasets.dataset import DataSet
from benchmarks.datasets.stored_texts import ItemTexts
from benchmarks.suite import Suite
from retrieval.errors import RetrievalError, SourceError
from retrieval.types import Medium

FORMAT_ERRORS = (LookupError, TypeError, ValueError, AttributeError, OSError)
"""Errors of a reader that show that a file is in another format."""


@dataclass(frozen=True, slots=True)
class Caption:
    """A text query and its relevant items."""

    caption_id: str
    text: str
    relevant: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gallery:
    """The items that a suite ranks, and its captions.

    Attributes:
        files: Expected file of each item. Missing files make the pool partial.
        captions: Captions in the order of the data set.
        texts: Texts of items. If there are some, vectors are compared with words: captions of
            items without texts are queries that only vectors can answer.
        word_queries: Queries that only words can answer. Only that comparison uses them.

    Raises:
        ValueError: There are no items or captions, two items share a file, two captions share an
            id, or a caption is empty or has no relevant item in `files`.
    """

    files: Mapping[str, Path]
    captions: Sequence[Caption]
    texts: ItemTexts = field(default_factory=dict)
    word_queries: Sequence[Caption] = ()

    def __post_init__(self) -> None:
        if not self.files or not self.captions:
            raise ValueError(f"{len(self.files)} items and {len(self.captions)} captions")
        if len(set(self.files.values())) < len(self.files):
            raise ValueError("two items have the same file")
        queries = [*self.captions, *self.word_queries]
        if len({caption.caption_id for caption in queries}) < len(queries):
            raise ValueError("two captions have the same id")
        for caption in queries:
            if not caption.text.strip():
                raise ValueError(f"caption {caption.caption_id} is empty")
            if not caption.relevant or not self.files.keys() >= set(caption.relevant):
                raise ValueError(f"caption {caption.caption_id} is of items that are not listed")

    def only(self, items: Iterable[str]) -> Gallery:
        """Restrict to some items, and to the captions with a relevant item among them.

        Raises:
            ValueError: No caption remains.
        """
        selected = set(items)
        return Gallery(
            {item: path for item, path in self.files.items() if item in selected},
            _captions_of(self.captions, selected),
            {item: texts for item, texts in self.texts.items() if item in selected},
            _captions_of(self.word_queries, selected),
        )


def _captions_of(captions: Iterable[Caption], items: set[str]) -> list[Caption]:
    """Restrict captions to some relevant items; those without one are left out."""
    return [
        Caption(caption.caption_id, caption.text, relevant)
        for caption in captions
        if (relevant := tuple(item for item in caption.relevant if item in items))
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingSuite(Suite):
    """Ranks media by captions, and captions by media.

    Attributes:
        data_set: Its `task` names both sides, such as `text to image`.
        medium: Medium of the files.
        read: Reads the official files in a folder. `FORMAT_ERRORS` mean another format.
        reports_map: Also report mAP@10.
    """

    data_set: DataSet
    medium: Medium
    read: Callable[[Path], Gallery]
    reports_map: bool = False

    def gallery(self, data: Path) -> Gallery:
        """Read the official files in a folder.

        Raises:
            SourceError: Files are missing or not in the official format.
        """
        self.data_set.check(data)
        try:
            return self.read(data)
        except RetrievalError:
            raise
        except FORMAT_ERRORS as error:
            files = ", ".join(name for name in self.data_set.files if not name.endswith("/"))
            raise SourceError(
                f"{data}: {files} is not in the official format ({type(error).__name__}: {error}); "
                f"take it from {self.data_set.source}"
            ) from error
