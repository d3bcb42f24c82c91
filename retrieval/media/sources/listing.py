"""What listing the sources of a run meets beside the files themselves."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from retrieval.columns.notices import Notices
from retrieval.errors import SourceError
from retrieval.media.names import extension, path_to_uri, uri_to_path
from retrieval.media.sources.ignore_rules import compiled, matches_path
from retrieval.types import Failure, Scalar, Source

_USUAL_EXTENSION = re.compile(r"\w{1,12}")


@dataclass(frozen=True, slots=True)
class Paths:
    """Paths that mean themselves, as a program prints them: no patterns, and some may be gone."""

    paths: Sequence[str]


@dataclass(slots=True)
class Listing:
    """How to list the sources of a run, and what was met on the way.

    Attributes:
        exclude: Patterns of files that are left out, in the syntax of gitignore.
        on_failure: Called with what cannot be listed; without it the first one raises.
        passed_over: Files of folders that are no media, by suffix.
        other_paths: Further paths of files that are listed already, by the uri they are listed by.
        notices: What the lists hold that is not stored as it is.
        further_metadata: Captions and columns that a further mention of a file brings, by the uri
            that it is listed by; what an earlier mention gave is not among them.
        read_lists: Uris of the lists that were read to their end.
    """

    exclude: tuple[str, ...] = ()
    on_failure: Callable[[Failure], None] | None = None
    passed_over: Counter[str] = field(default_factory=Counter)
    other_paths: dict[str, list[str]] = field(default_factory=dict)
    notices: Notices = field(default_factory=Notices)
    further_metadata: dict[str, dict[str, Scalar]] = field(default_factory=dict)
    read_lists: list[str] = field(default_factory=list)
    _folders: list[str] = field(default_factory=list)
    _patterns: list[str] = field(default_factory=list)

    def fail(self, uri: str, reason: str, cause: Exception) -> None:
        """Report what cannot be listed; the rest goes on.

        Raises:
            SourceError: Nobody wants to hear of failures.
        """
        if self.on_failure is None:
            raise cause if isinstance(cause, SourceError) else SourceError(reason) from cause
        self.on_failure(Failure(uri, "open", reason))

    def pass_over(self, name: str) -> None:
        """Count a file of a folder that is no media."""
        suffix = extension(name)
        if not suffix:
            self.passed_over["without a suffix"] += 1
        elif _USUAL_EXTENSION.fullmatch(suffix):
            self.passed_over[f".{suffix}"] += 1
        else:
            self.passed_over["of other kinds"] += 1

    # ------------------------------------------------------------ what the sources cover

    def cover_folder(self, folder: str) -> None:
        """Remember that a folder was walked, under the path given and under its real one."""
        for path in (os.path.abspath(folder), os.path.realpath(folder)):
            self._folders.append(os.path.join(path, ""))

    def cover_pattern(self, pattern: str) -> None:
        """Remember that a pattern was expanded."""
        self._patterns.append(os.path.abspath(pattern))

    def covered(self) -> Callable[[str], bool]:
        """Tell of the uri of a file whether the folders and patterns would have listed it."""
        folders = tuple(
            dict.fromkeys(path_to_uri(path).rstrip("/") + "/" for path in self._folders)
        )
        patterns = compiled(self._patterns) if self._patterns else None

        def covers(uri: str) -> bool:
            if uri.startswith(folders):
                return True
            return patterns is not None and matches_path(patterns, uri_to_path(uri)) is True

        return covers


class Once:
    """Lets every file through once, whatever path leads to it.

    A file is what the system says it is, device and inode. Links are held back until the end: the
    file itself is listed by its own name where it is a source too.
    """

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._uris: dict[tuple[int, int] | str, str] = {}
        self._links: list[Source] = []
        self._given: dict[str, frozenset[str]] = {}  # names of the metadata of the first mentions

    def first(self, source: Source) -> bool:
        """Whether a source is to be listed now."""
        try:
            status = os.lstat(source.path)
        except OSError:
            return self._is_new(source.uri, source)
        if stat.S_ISLNK(status.st_mode):
            self._links.append(source)
            return False
        return self._is_new(identity(status) or source.uri, source)

    def links(self) -> list[Source]:
        """The links to files that were not listed by a name of their own."""
        return [source for source in self._links if self._is_new(self._target(source), source)]

    def _target(self, source: Source) -> tuple[int, int] | str:
        try:
            return identity(os.stat(source.path)) or source.uri
        except OSError:
            return source.uri  # a dangling link is a failure of its own

    def _is_new(self, key: tuple[int, int] | str, source: Source) -> bool:
        listed = self._uris.setdefault(key, source.uri)
        metadata = metadata_of(source)
        if listed is source.uri:
            if metadata:
                self._given[listed] = frozenset(metadata)
            return True
        if listed != source.uri:
            others = self._listing.other_paths.setdefault(listed, [])
            if source.uri not in others:
                others.append(source.uri)
        new = metadata.keys() - self._given.get(listed, frozenset())
        if new:
            further = self._listing.further_metadata.setdefault(listed, {})
            for name in new:
                further.setdefault(name, metadata[name])
        return False


def metadata_of(source: Source) -> dict[str, Scalar]:
    """The caption and the columns that a source gives."""
    caption = {} if source.caption is None else {"caption": source.caption}
    return {**source.columns, **caption}


def identity(status: os.stat_result) -> tuple[int, int] | None:
    """Device and inode of a file; None on file systems without inodes."""
    return (status.st_dev, status.st_ino) if status.st_ino else None
