"""Divides the sources of a run among several collections, and adds up their reports."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from retrieval.embedding.options import FAILURES_KEPT, EmbedReport
from retrieval.embedding.units import ListSources
from retrieval.errors import CollectionError
from retrieval.media.sources.listing import Listing
from retrieval.types import Failure, Source

MAX_COLLECTIONS = 100


def collection_roots(root: Path, count: int | None) -> list[Path]:
    """Return the folders of the collections to write: `root` alone, or `root-00`, `root-01`, ….

    Raises:
        CollectionError: Another number of collections of this name exists, or `count` is too large.
    """
    if count is None:
        return [root]
    if not 1 <= count <= MAX_COLLECTIONS:
        raise CollectionError(f"{count} collections: expected 1 to {MAX_COLLECTIONS}")
    roots = [root.with_name(f"{root.name}-{number:02d}") for number in range(count)]
    pattern = f"{root.name}-[0-9][0-9]"
    existing = sorted(path for path in root.absolute().parent.glob(pattern) if path.is_dir())
    if existing and [path.name for path in existing] != [path.name for path in roots]:
        raise CollectionError(
            f"{existing[0]} to {existing[-1].name} are {len(existing)} collections, expected "
            f"{count}: their number decides where a file belongs; name the same number, or another "
            "folder"
        )
    return roots


def listed_part(list_sources: ListSources, number: int, count: int) -> ListSources:
    """Return a function that lists the sources of one of several collections.

    The uri decides, so that a file stays in its collection whatever other files are added.
    """
    if count == 1:
        return list_sources

    def list_part(listing: Listing) -> Iterator[Source]:
        if number:  # the first collection records the failures of the listing
            listing.on_failure = _ignore
        for source in list_sources(listing):
            if part_of(source.uri, count) == number:
                yield source

    return list_part


def part_of(uri: str, count: int) -> int:
    """Return the number of the collection that a file or archive belongs to."""
    digest = hashlib.blake2b(uri.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % count


def _ignore(failure: Failure) -> None:
    """Drop the failure."""


def total_report(reports: Sequence[EmbedReport]) -> EmbedReport:
    """Add up the reports of several collections, which share one listing."""
    if len(reports) == 1:
        return reports[0]
    total = EmbedReport()
    for report in reports:
        for name in _COUNTS:
            setattr(total, name, getattr(total, name) + getattr(report, name))
        for medium, count in report.added.items():
            total.added[medium] += count
        for source, count in report.read.items():
            total.read[source] += count
        total.failures = (total.failures + report.failures)[:FAILURES_KEPT]
        total.notices += report.notices
        total.passed_over = report.passed_over
        total.other_paths = report.other_paths
    return total


_COUNTS = (
    "replaced", "unchanged", "renamed", "updated", "gone", "pruned", "deferred", "completed",
    "failed", "without_encoder", "without_segments", "unread", "without_texts",
)  # fmt: skip
