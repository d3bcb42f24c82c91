"""Opens what `search` is given: a collection, or a media folder, which is brought up to date."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import reduce
from operator import or_
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from cli.log_level import log_level
from cli.output import clock
from cli.progress import progress_bar
from retrieval.errors import QueryError
from retrieval.targets import Target

if TYPE_CHECKING:
    from retrieval.automatic.folder import MediaFolder
    from retrieval.automatic.needs import Needs
    from retrieval.collection import Collection
    from retrieval.embedding.options import EmbedReport
    from retrieval.estimate.costs import Estimate
    from retrieval.search.query import Query
    from retrieval.search.vector_query import VectorQuery

logger = logging.getLogger(__name__)

DETAILED_LOGGERS = ("retrieval.search.indexing", "retrieval.estimate", "retrieval.embedding")
"""Their messages describe steps that a search of a folder does not explain."""


class SearchedCollection:
    """A collection, or a media folder that is brought up to date as far as queries need it.

    Args:
        path: A collection, or a folder of media.
        model: Model of a folder that was never embedded.
        here: Keep a new collection inside the folder.
        device: Device of models and indexes.
        localizer: Localizer of moments.

    Raises:
        CollectionNotFoundError: There is no such folder.
        SourceError: The path is a file, or a loop of links.
    """

    def __init__(
        self, path: Path, *, model: str | None, here: bool, device: str, localizer: str
    ) -> None:
        import retrieval
        from retrieval.automatic.finding import is_collection, real_folder
        from retrieval.automatic.folder import MediaFolder

        self._folder: MediaFolder | None = None
        if not is_collection(path) and os.path.lexists(path):
            real_folder(path)
            self._folder = MediaFolder(
                path, model=model, inside=here, device=device, localizer=localizer
            )
            return
        if model is not None or here:
            raise QueryError(
                f"--model and --here are for folders of media, and {path} is "
                f"{'a collection' if is_collection(path) else 'not a folder'}"
            )
        self._collection = retrieval.open(path, device=device, localizer=localizer)

    def prepare(
        self, to: Sequence[Target], queries: Sequence[Query | VectorQuery] = ()
    ) -> Collection:
        """Return the collection; a media folder is brought up to date for some queries first.

        Raises:
            SystemExit: Ctrl-C came before anything was embedded, or for the second time.
        """
        if self._folder is None:
            return self._collection
        from retrieval.automatic.needs import Needs

        needs = [Needs.of(to, query) for query in queries] or [Needs.of(to)]
        _bring_up_to_date(self._folder, reduce(or_, needs))
        return self._folder.collection


def _bring_up_to_date(folder: MediaFolder, needs: Needs) -> None:
    with ExitStack() as stack:
        if not logger.isEnabledFor(logging.DEBUG):
            for name in DETAILED_LOGGERS:
                stack.enter_context(log_level(name, logging.WARNING))
        interrupts = stack.enter_context(_counted_interrupts())
        try:
            _update(folder, needs)
        except KeyboardInterrupt:
            if len(interrupts) > 1:
                raise SystemExit(130) from None
            if folder.is_new:
                logger.warning("interrupted before anything was embedded")
                raise SystemExit(130) from None
            folder.collection.refresh()
            logger.warning(
                "interrupted: searching the %s embedded so far; the next search continues",
                _counted(len(folder.collection), "item"),
            )


def _update(folder: MediaFolder, needs: Needs) -> None:
    from cli.models import offer_download

    with progress_bar(transient=True) as progress:
        content = folder.scan(progress)
    folder.check_media(content, needs)
    offer_download(folder.missing_encoders(content, needs))
    if folder.is_new:
        logger.info("loading the model %s", folder.model)
        with progress_bar(transient=True) as progress:
            estimate = folder.estimate(content, needs, progress)
        _announce(folder, estimate)
    with progress_bar(transient=True) as progress:
        report = folder.update(needs, progress, content)
    if report is not None:
        _report(folder, report)


def _announce(folder: MediaFolder, estimate: Estimate) -> None:
    """Say what the first run does, and how long it takes."""
    from indexes.candidates import format_bytes

    names = {"image": "image", "audio": "recording", "video": "video"}
    kinds = []
    for kind, count in estimate.items.items():
        played = f" ({clock(estimate.seconds[kind])})" if kind in estimate.seconds else ""
        if count:
            kinds.append(f"{_counted(count, names[kind])}{played}")
    size = format_bytes(estimate.media_bytes or 0)
    logger.info("%s: %s, %s", folder.path, ", ".join(kinds) or "no readable media", size)
    seconds = estimate.embed_seconds or 0.0
    logger.info(
        "first search of this folder: embedding takes %s here, and %s in %s",
        _rounded(seconds), format_bytes(estimate.collection_bytes), folder.home,
    )  # fmt: skip
    logger.info("later searches embed only new files; Ctrl-C searches what is embedded so far")


def _report(folder: MediaFolder, report: EmbedReport) -> None:
    """Say what changed; nothing if nothing did."""
    parts = [
        f"{count:,} {words}"
        for count, words in (
            (sum(report.added.values()) - report.replaced, "new"),
            (report.replaced, "changed"),
            (report.renamed, "renamed"),
            (report.pruned, "removed"),
        )
        if count
    ]
    if parts:
        logger.info("%s in %.1f s", ", ".join(parts), report.seconds)
    if report.failed and parts:
        home = folder.home or folder.path
        logger.info(
            "%s cannot be read; reasons in %s",
            _counted(report.failed, "file"), home / "collection" / "failures",
        )  # fmt: skip


def _rounded(seconds: float) -> str:
    """Describe a duration as people do."""
    if seconds < 10:
        return "some seconds"
    if seconds < 90:
        return f"about {round(seconds, -1):.0f} seconds"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} minutes"
    return f"about {seconds / 3600:.1f} hours"


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


@contextmanager
def _counted_interrupts() -> Iterator[list[int]]:
    """Yield a list that grows with every Ctrl-C; each raises KeyboardInterrupt as usual."""
    interrupts: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        del frame
        interrupts.append(number)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # ignored, or handled by an application
        yield interrupts
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)
