"""What a suite of rankings is made of; imports nothing heavy, so that `bench list` stays quick."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.datasets.dataset import DataSet
from benchmarks.results.outcome import Outcome
from retrieval.errors import RetrievalError, SourceError
from retrieval.types import Medium

NOT_OFFICIAL = (LookupError, TypeError, ValueError, AttributeError, OSError)
"""What goes wrong while a file of another format is taken apart."""


@dataclass(frozen=True, slots=True)
class Caption:
    """A text that is asked, and the items it should find."""

    caption_id: str
    text: str
    relevant: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gallery:
    """What is searched, and what is asked.

    Attributes:
        files: Where each item's file should lie; those that are missing make the pool partial.
        captions: In the order of the data set.

    Raises:
        ValueError: Nothing is searched or asked, two items share a file, two captions an id, or a
            caption is empty or finds nothing in `files`.
    """

    files: Mapping[str, Path]
    captions: Sequence[Caption]

    def __post_init__(self) -> None:
        if not self.files or not self.captions:
            raise ValueError(f"{len(self.files)} items and {len(self.captions)} captions")
        if len(set(self.files.values())) < len(self.files):
            raise ValueError("two items have the same file")
        if len({caption.caption_id for caption in self.captions}) < len(self.captions):
            raise ValueError("two captions have the same id")
        for caption in self.captions:
            if not caption.text.strip():
                raise ValueError(f"caption {caption.caption_id} is empty")
            if not caption.relevant or not self.files.keys() >= set(caption.relevant):
                raise ValueError(f"caption {caption.caption_id} is of items that are not listed")

    def only(self, keys: Iterable[str]) -> Gallery:
        """Some of the items, and the captions that still find one of them.

        Raises:
            ValueError: As the class; nothing is left to ask.
        """
        kept = set(keys)
        return Gallery(
            {key: path for key, path in self.files.items() if key in kept},
            [
                Caption(caption.caption_id, caption.text, found)
                for caption in self.captions
                if (found := tuple(key for key in caption.relevant if key in kept))
            ],
        )


@dataclass(frozen=True, slots=True)
class RankingSuite:
    """Texts that should find media, and media that should find their texts.

    Attributes:
        name: As `bench run` knows it.
        data_set: Its `task` names both sides, as `text to image`.
        medium: What the files are.
        read: Reads the official files below a folder; whatever it stumbles over is reported as
            another format.
        with_map: Print mAP@10 as well, where the field does or captions find many items.
    """

    name: str
    data_set: DataSet
    medium: Medium
    read: Callable[[Path], Gallery]
    with_map: bool = False

    def gallery(self, data: Path) -> Gallery:
        """Read the official files below a folder.

        Raises:
            SourceError: Files are missing, or not in the official format.
        """
        self.data_set.check(data)
        try:
            return self.read(data)
        except RetrievalError:
            raise
        except NOT_OFFICIAL as error:
            files = ", ".join(name for name in self.data_set.files if not name.endswith("/"))
            raise SourceError(
                f"{data}: {files} is not in the official format ({type(error).__name__}: {error}); "
                f"take it from {self.data_set.source}"
            ) from error

    def run(
        self,
        *,
        say: Callable[[str], None],
        folder: Path,
        data: Path,
        scale: float = 1.0,
        models: Sequence[str] = (),
    ) -> Outcome:
        """Embed the files, ask every caption, and ask every file for its captions.

        Args:
            say: Told about every step.
            folder: Where the collection is kept; a second run there embeds nothing.
            data: Folder of the official files.
            scale: Share of the items, for a quick look; figures are comparable at 1 only.
            models: As `embed --model`; empty: the collection's own, else the default.

        Raises:
            SourceError: Files are missing or not in the official format, or the folder's
                collection holds other items.
            UnknownModelError: No such model, or none that embeds these files.
        """
        from benchmarks.ranking.run import measure

        return measure(self, self.gallery(data), folder=folder, scale=scale, models=models, say=say)
