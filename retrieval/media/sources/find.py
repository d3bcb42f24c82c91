"""List the media files that the arguments of a command name, each once and in a fixed order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from retrieval.columns.notices import Notices
from retrieval.errors import SourceError
from retrieval.files.objects import is_object
from retrieval.media.captions import CAPTIONS_FILE, find_caption
from retrieval.media.files import is_media_name
from retrieval.media.lists.rows import LIST_EXTENSIONS, ListedRow, MissingColumnError, read_files
from retrieval.media.names import extension, is_tar_name, path_to_uri, quote
from retrieval.media.sources.folders import walk
from retrieval.media.sources.ignore_rules import IgnoreRules
from retrieval.media.sources.listing import Deduplicator, Listing, LiteralPaths
from retrieval.media.sources.object_stores import find_objects
from retrieval.media.sources.patterns import (
    expand_braces,
    find_matches,
    has_fixed_extension,
    is_pattern,
)
from retrieval.types import Source

MAX_LEADING_BAD_ROWS = 1_000
"""A list whose first rows, this many, all fail is refused: it does not list files."""


def find_sources(
    arguments: Sequence[str | LiteralPaths],
    *,
    path_column: str | None = None,
    caption_column: str | None = None,
    notices: Notices | None = None,
    listing: Listing | None = None,
) -> Iterator[Source]:
    """List the files to embed, in the arguments' order and by name inside a folder.

    An argument is a folder (read recursively without hidden files, other files than media and links
    to folders), a file of any name, a tar, a list (CSV, TSV, JSONL, Parquet), a Parquet file that
    holds media, or a pattern such as `{000..010}.tar`, `{a,b}/*.jpg` or `photos/**/*.png`. A file
    is identified by device and inode and listed once. Links to files come last, and only if the
    file itself is not listed.

    Args:
        arguments: Paths and patterns, or `LiteralPaths` that are not expanded.
        path_column: Column of the lists that names the files; by default a common name.
        caption_column: Column of the lists that holds captions; by default a common name.
        notices: Receives a notice for each list value that is stored in another form.
        listing: Options of the listing; receives failures and skipped files.

    Raises:
        SourceError: An argument does not exist or cannot be read. Without `listing.on_failure`
            also: a folder cannot be read, a row of a list is malformed.
    """
    listing = listing or Listing()
    if notices is not None:
        listing.notices = notices
    deduplicator = Deduplicator(listing)
    finder = _Finder(
        path_column,
        caption_column,
        listing,
        IgnoreRules.from_patterns(listing.exclude, os.getcwd()),
    )
    for argument in arguments:
        for source in finder.find(argument):
            if deduplicator.is_first(source):
                yield source
    yield from deduplicator.unlisted_links()


@dataclass(frozen=True, slots=True)
class _Finder:
    """Find the sources of one argument, with repetitions.

    Attributes:
        ignore_rules: The excluded patterns relative to the current folder.
    """

    path_column: str | None
    caption_column: str | None
    listing: Listing
    ignore_rules: IgnoreRules

    def find(self, argument: str | LiteralPaths) -> Iterator[Source]:
        for path in _expand(argument, self.listing):
            if is_object(path):
                for address in find_objects(path, self.listing):
                    yield self._source(address, has_caption=False)
            elif os.path.isdir(path):
                for file in walk(path, self.listing):
                    yield self._source(file.path, has_caption=file.has_caption)
            elif self.ignore_rules.ignores(os.path.abspath(path)):
                continue
            elif self.path_column is None and _holds_media(path):
                yield replace(self._source(path), is_tar=True)
            elif extension(path) in LIST_EXTENSIONS:
                yield from self._listed_files(path)
            else:
                yield self._source(path)

    def _source(self, path: str, *, has_caption: bool = True) -> Source:
        path = path if is_object(path) else os.path.abspath(path)
        has_caption = has_caption and not is_object(path)
        caption = None
        try:
            caption = find_caption(path) if has_caption else None
        except SourceError as error:
            captions = os.path.join(os.path.dirname(path), CAPTIONS_FILE)
            self.listing.fail(path_to_uri(captions), str(error), error)
        return Source(uri=quote(path), path=path, is_tar=is_tar_name(path), caption=caption)

    def _listed_files(self, path: str) -> Iterator[Source]:
        folder = os.path.dirname(os.path.abspath(path))
        rules = IgnoreRules.from_patterns(self.listing.exclude, folder)
        self.listing.add_base(folder)
        uri = path_to_uri(path)
        bad: list[tuple[int, SourceError]] = []
        good = 0
        rows = read_files(path, self.path_column, self.caption_column, self.listing.notices)
        try:
            for number, row in rows:
                if isinstance(row, SourceError):
                    bad.append((number, row))
                    if not good and len(bad) >= MAX_LEADING_BAD_ROWS:
                        break
                else:
                    good += 1
                    file = row.path if is_object(row.path) else os.path.join(folder, row.path)
                    if not rules.ignores(os.path.abspath(file)):
                        yield self._listed_source(file, row)
                if good:
                    self._report_rows(uri, bad)
        except SourceError as error:
            lists_no_files = isinstance(error, MissingColumnError) and not good
            if lists_no_files or isinstance(error.__cause__, OSError):
                raise  # the argument itself is wrong: end the run
            self._report_rows(uri, bad)
            self.listing.fail(uri, str(error), error)
            return
        if not good and len(bad) >= MAX_LEADING_BAD_ROWS:
            raise bad[-1][1]
        self._report_rows(uri, bad)
        self.listing.finished_lists.append(uri)

    def _listed_source(self, path: str, row: ListedRow) -> Source:
        source = self._source(path)
        caption = row.caption or (row.caption if source.caption is None else source.caption)
        return replace(source, caption=caption, columns=row.columns)

    def _report_rows(self, uri: str, bad: list[tuple[int, SourceError]]) -> None:
        """Report the bad rows of a list as failures, then clear them."""
        for number, error in bad:
            self.listing.fail(f"{uri}#row={number}", str(error), error)
        bad.clear()


def _holds_media(path: str) -> bool:
    if extension(path) != "parquet":
        return False
    from retrieval.media.archives.parquet_media import holds_media

    return holds_media(path)


def _expand(argument: str | LiteralPaths, listing: Listing) -> Iterator[str]:
    """Yield the paths that an argument stands for; an existing path is never expanded."""
    if isinstance(argument, LiteralPaths):
        yield from argument.paths
        return
    if os.path.lexists(argument) or is_object(argument):
        yield argument
        return
    for pattern in expand_braces(argument):
        if is_pattern(pattern):
            listing.add_pattern(pattern)
            yield from _media_matches(pattern, listing)
        elif os.path.lexists(pattern):
            yield pattern
        else:
            raise SourceError(
                f"{quote(pattern)}: no such file or folder; check the name, or quote the pattern"
            )


def _media_matches(pattern: str, listing: Listing) -> Iterator[str]:
    """Yield the matches of a pattern: media only, or all files if it fixes an extension."""
    all_files = has_fixed_extension(pattern)
    for path in find_matches(pattern):
        if all_files or os.path.isdir(path) or is_media_name(path):
            yield path
        else:
            listing.count_skipped(path)
