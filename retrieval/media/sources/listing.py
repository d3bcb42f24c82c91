"""Options and results of listing the sources of a run."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from retrieval.columns.notices import Notices
from retrieval.errors import SourceError
from retrieval.media.names import extension, path_to_uri, quote, uri_to_path
from retrieval.media.sources.ignore_rules import compile_patterns, match_path
from retrieval.types import Failure, Scalar, Source

_COMMON_EXTENSION = re.compile(r"\w{1,12}")


@dataclass(frozen=True, slots=True)
class LiteralPaths:
    """Paths that are not expanded as patterns; some may not exist."""

    paths: Sequence[str]


@dataclass(slots=True)
class Listing:
    """Options of listing the sources of a run, and what it found besides them.

    Attributes:
        exclude: Patterns of excluded files, in the syntax of gitignore.
        on_failure: Called with each source that cannot be listed; without it, the first one raises.
        skipped: Number of files in folders that are not media, by suffix.
        other_paths: Further paths of a listed file, by the URI it is listed under.
        notices: List values that are stored in another form.
        later_metadata: Captions and columns that only later mentions of a file give, by the URI it
            is listed under.
        finished_lists: URIs of the lists that were read to their end.
        bases: URIs of the given folders, of the lists' folders, and of the fixed parts of patterns,
            with a final `/`. The names of the folders below them describe an item.
    """

    exclude: tuple[str, ...] = ()
    on_failure: Callable[[Failure], None] | None = None
    skipped: Counter[str] = field(default_factory=Counter)
    other_paths: dict[str, list[str]] = field(default_factory=dict)
    notices: Notices = field(default_factory=Notices)
    later_metadata: dict[str, dict[str, Scalar]] = field(default_factory=dict)
    finished_lists: list[str] = field(default_factory=list)
    bases: list[str] = field(default_factory=list)
    _folders: list[str] = field(default_factory=list)
    _patterns: list[str] = field(default_factory=list)
    _addresses: list[str] = field(default_factory=list)

    def fail(self, uri: str, reason: str, cause: Exception) -> None:
        """Report a source that cannot be listed.

        Raises:
            SourceError: There is no `on_failure`.
        """
        if self.on_failure is None:
            raise cause if isinstance(cause, SourceError) else SourceError(reason) from cause
        self.on_failure(Failure(uri, "open", reason))

    def count_skipped(self, name: str) -> None:
        """Count a file that is not media."""
        suffix = extension(name)
        if not suffix:
            self.skipped["without a suffix"] += 1
        elif _COMMON_EXTENSION.fullmatch(suffix):
            self.skipped[f".{suffix}"] += 1
        else:
            self.skipped["of other kinds"] += 1

    def add_folder(self, folder: str) -> None:
        """Record a listed folder, under the given and the real path."""
        for path in (os.path.abspath(folder), os.path.realpath(folder)):
            self._folders.append(os.path.join(path, ""))
            self.add_base(path)

    def add_pattern(self, pattern: str) -> None:
        """Record an expanded pattern."""
        path = os.path.abspath(pattern)
        self._patterns.append(path)
        self.add_base(re.split(r"[*?\[]", path)[0].rpartition("/")[0])

    def add_address(self, address: str) -> None:
        """Record a listed address of an object store."""
        base = quote(address).rstrip("/") + "/"
        self._addresses.append(base)
        if base not in self.bases:
            self.bases.append(base)

    def add_base(self, folder: str) -> None:
        """Record a folder whose sub-folders describe the items in them."""
        base = path_to_uri(folder).rstrip("/") + "/"
        if base not in self.bases:
            self.bases.append(base)

    def base_of(self, uri: str) -> str | None:
        """Return the outermost recorded folder that a file is in."""
        return min((base for base in self.bases if uri.startswith(base)), key=len, default=None)

    def coverage(self) -> Callable[[str], bool]:
        """Return a test of whether the listed folders and patterns include a file's URI."""
        folders = tuple(
            dict.fromkeys(
                [
                    *(path_to_uri(path).rstrip("/") + "/" for path in self._folders),
                    *self._addresses,
                ]
            )
        )
        patterns = compile_patterns(self._patterns) if self._patterns else None

        def covers(uri: str) -> bool:
            if uri.startswith(folders):
                return True
            return patterns is not None and match_path(patterns, uri_to_path(uri)) is True

        return covers


class Deduplicator:
    """Lists every file once, whatever path leads to it.

    Device and inode identify a file. Symbolic links wait until the end, so that a file that is a
    source too is listed under its own name.
    """

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._uris: dict[tuple[int, int] | str, str] = {}
        self._links: list[Source] = []
        self._first_columns: dict[str, frozenset[str]] = {}  # columns of the first mention, by URI

    def is_first(self, source: Source) -> bool:
        """Whether a source is to be listed now."""
        try:
            status = os.lstat(source.path)
        except OSError:
            return self._is_new(source.uri, source)
        if stat.S_ISLNK(status.st_mode):
            self._links.append(source)
            return False
        return self._is_new(file_identity(status) or source.uri, source)

    def unlisted_links(self) -> list[Source]:
        """Return the links to files that are not listed under another name."""
        return [source for source in self._links if self._is_new(self._target(source), source)]

    def _target(self, source: Source) -> tuple[int, int] | str:
        try:
            return file_identity(os.stat(source.path)) or source.uri
        except OSError:
            return source.uri  # each dangling link is a failure of its own

    def _is_new(self, key: tuple[int, int] | str, source: Source) -> bool:
        listed = self._uris.setdefault(key, source.uri)
        metadata = source_metadata(source)
        if listed is source.uri:
            if metadata:
                # An empty caption does not hide one of a later mention.
                names = (name for name in metadata if name != "caption" or source.caption)
                self._first_columns[listed] = frozenset(names)
            return True
        if listed != source.uri:
            others = self._listing.other_paths.setdefault(listed, [])
            if source.uri not in others:
                others.append(source.uri)
        new = metadata.keys() - self._first_columns.get(listed, frozenset())
        if new:
            later = self._listing.later_metadata.setdefault(listed, {})
            for name in new:
                later.setdefault(name, metadata[name])
        return False


def source_metadata(source: Source) -> dict[str, Scalar]:
    """Return the columns of a source, with its caption as `caption`."""
    caption = {} if source.caption is None else {"caption": source.caption}
    return {**source.columns, **caption}


def file_identity(status: os.stat_result) -> tuple[int, int] | None:
    """Return device and inode of a file; None on file systems without inodes."""
    return (status.st_dev, status.st_ino) if status.st_ino else None
