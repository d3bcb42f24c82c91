"""Sources: from the arguments of a command to the files to embed, one by one, in a fixed order.

A source is a file, by device and inode: links to it and its other names are listed once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from retrieval.columns.notices import Notices
from retrieval.errors import SourceError
from retrieval.media.captions import CAPTIONS_FILE, caption_beside
from retrieval.media.files import is_media_name
from retrieval.media.lists.rows import LIST_EXTENSIONS, ListedRow, NoColumnError, read_files
from retrieval.media.names import extension, is_tar_name, path_to_uri, quote
from retrieval.media.sources.folders import walk
from retrieval.media.sources.ignore_rules import IgnoreRules
from retrieval.media.sources.listing import Listing, Once, Paths
from retrieval.media.sources.patterns import expand_braces, is_pattern, matches, names_an_extension
from retrieval.types import Source

BAD_ROWS_AT_FIRST = 1_000
"""A list that begins with so many rows that name no file is none of files: the run ends."""


def find_sources(
    arguments: Sequence[str | Paths],
    *,
    path_column: str | None = None,
    caption_column: str | None = None,
    notices: Notices | None = None,
    listing: Listing | None = None,
) -> Iterator[Source]:
    """List the files to embed, each once, in the arguments' order and by name inside a folder.

    An argument is a folder (read recursively; hidden files, other files than media and links to
    folders are passed over), a file of any name, a tar, a list (CSV, TSV, JSONL, Parquet), a
    Parquet file that holds the media themselves, or a pattern of these: `{000..010}.tar`,
    `{a,b}/*.jpg`, `photos/**/*.png`. Links to files come last, where the file itself is not listed.

    Args:
        arguments: Paths and patterns, or `Paths` that mean themselves.
        path_column: Column of the lists that names the files; by default a usual name is sought.
        caption_column: Column of the lists that holds captions, likewise.
        notices: Takes what the lists hold that is not stored as it is.
        listing: What to exclude; takes failures, and what is passed over.

    Raises:
        SourceError: An argument does not exist or cannot be read. Without a taker of failures in
            `listing` also: a folder cannot be read, a row of a list is malformed.
    """
    listing = listing or Listing()
    if notices is not None:
        listing.notices = notices
    once = Once(listing)
    here = IgnoreRules.of(listing.exclude, os.getcwd())
    for argument in arguments:
        for source in _sources(argument, path_column, caption_column, listing, here):
            if once.first(source):
                yield source
    yield from once.links()


def _sources(
    argument: str | Paths,
    path_column: str | None,
    caption_column: str | None,
    listing: Listing,
    here: IgnoreRules,
) -> Iterator[Source]:
    for path in _expand(argument, listing):
        if os.path.isdir(path):
            for found in walk(path, listing, is_media_name):
                yield _source(found, listing)
        elif here.ignore(os.path.abspath(path)):
            continue
        elif path_column is None and _holds_media(path):
            yield replace(_source(path, listing), is_tar=True)
        elif extension(path) in LIST_EXTENSIONS:
            yield from _listed(path, path_column, caption_column, listing)
        else:
            yield _source(path, listing)


def _holds_media(path: str) -> bool:
    if extension(path) != "parquet":
        return False
    from retrieval.media.archives.parquet_media import holds_media

    return holds_media(path)


def _listed(
    path: str, path_column: str | None, caption_column: str | None, listing: Listing
) -> Iterator[Source]:
    """Yield the files that a list names."""
    folder = os.path.dirname(os.path.abspath(path))
    rules = IgnoreRules.of(listing.exclude, folder)
    uri = path_to_uri(path)
    bad: list[tuple[int, SourceError]] = []
    good = 0
    try:
        for number, row in read_files(path, path_column, caption_column, listing.notices):
            if isinstance(row, SourceError):
                bad.append((number, row))
                if not good and len(bad) >= BAD_ROWS_AT_FIRST:
                    break
            else:
                good += 1
                named = os.path.join(folder, row.path)
                if not rules.ignore(os.path.abspath(named)):
                    yield _listed_source(named, row, listing)
            if good:
                _fail_rows(uri, bad, listing)
    except SourceError as error:
        lists_no_files = isinstance(error, NoColumnError) and not good
        if lists_no_files or isinstance(error.__cause__, OSError):  # not what the user meant
            raise
        _fail_rows(uri, bad, listing)
        listing.fail(uri, str(error), error)
        return
    if not good and len(bad) >= BAD_ROWS_AT_FIRST:
        raise bad[-1][1]
    _fail_rows(uri, bad, listing)
    listing.read_lists.append(uri)


def _listed_source(path: str, row: ListedRow, listing: Listing) -> Source:
    source = _source(path, listing)
    return Source(
        source.uri,
        source.path,
        is_tar=source.is_tar,
        caption=row.caption or source.caption,
        columns=row.columns,
    )


def _fail_rows(uri: str, bad: list[tuple[int, SourceError]], listing: Listing) -> None:
    """Report the rows of a list that name no file, and forget them."""
    for number, error in bad:
        listing.fail(f"{uri}#row={number}", str(error), error)
    bad.clear()


def _source(path: str, listing: Listing) -> Source:
    path = os.path.abspath(path)
    caption = None
    try:
        caption = caption_beside(path)
    except SourceError as error:
        captions = os.path.join(os.path.dirname(path), CAPTIONS_FILE)
        listing.fail(path_to_uri(captions), str(error), error)
    return Source(uri=path_to_uri(path), path=path, is_tar=is_tar_name(path), caption=caption)


def _expand(argument: str | Paths, listing: Listing) -> Iterator[str]:
    """Yield the paths an argument means; a path that exists means itself, braces and all."""
    if isinstance(argument, Paths):
        yield from argument.paths
        return
    if os.path.lexists(argument):
        yield argument
        return
    for pattern in expand_braces(argument):
        if is_pattern(pattern):
            listing.cover_pattern(pattern)
            yield from _media_among(matches(pattern), pattern, listing)
        elif os.path.lexists(pattern):
            yield pattern
        else:
            raise SourceError(
                f"{quote(pattern)}: no such file or folder; check the name, or quote the pattern"
            )


def _media_among(paths: list[str], pattern: str, listing: Listing) -> Iterator[str]:
    """Yield what a wildcard means; `*` alone takes media only, `*.csv` takes what it names."""
    named = names_an_extension(pattern)
    for path in paths:
        if named or os.path.isdir(path) or is_media_name(path):
            yield path
        else:
            listing.pass_over(path)
