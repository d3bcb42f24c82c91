"""Patterns of files to leave out, in the syntax of gitignore."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from pathspec import GitIgnoreSpec

from retrieval.errors import SourceError
from retrieval.files.reading import read_text

IGNORE_FILE = ".retrievalignore"


def compiled(patterns: Iterable[str]) -> GitIgnoreSpec:
    """Prepare patterns for matching.

    Raises:
        SourceError: One of them is no pattern.
    """
    patterns = list(patterns)
    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise SourceError(
            f"{', '.join(map(repr, patterns))}: not patterns as in .gitignore ({error}); mend them"
        ) from error


def matches_path(spec: GitIgnoreSpec, path: str, *, is_folder: bool = False) -> bool | None:
    """Whether the last pattern that matches a path takes it; None where none matches."""
    return spec.check_file(path.lstrip("/") + ("/" if is_folder else "")).include


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """What is left out below a folder: patterns, each with the folder that it is relative to.

    Attributes:
        exclude: The user's patterns and their folder; no ignore file takes anything back.
        layers: Ignore files, the outermost first; the innermost that says something decides.
    """

    exclude: tuple[str, GitIgnoreSpec] | None = None
    layers: tuple[tuple[str, GitIgnoreSpec], ...] = ()

    @classmethod
    def of(cls, patterns: Iterable[str], folder: str) -> IgnoreRules:
        """The user's patterns, relative to a folder."""
        spec = compiled(patterns)
        return cls((folder, spec) if len(spec) else None)

    def within(self, folder: str) -> IgnoreRules:
        """The rules of a folder that is inside: with its own ignore file, where it has one.

        Raises:
            SourceError: The ignore file cannot be read.
        """
        path = os.path.join(folder, IGNORE_FILE)
        if not os.path.lexists(path):
            return self
        try:
            lines = read_text(path).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise SourceError(
                f"{path}: {reason}; its folder is left out until it can be read"
            ) from error
        try:
            spec = GitIgnoreSpec.from_lines(lines)
        except ValueError as error:
            raise SourceError(
                f"{path}: not patterns as in .gitignore ({error}); mend them"
            ) from error
        return IgnoreRules(self.exclude, (*self.layers, (folder, spec)))

    def ignore(self, path: str, *, is_folder: bool = False) -> bool:
        """Whether a file or folder is left out."""
        if self.exclude is not None and _taken(*self.exclude, path, is_folder):
            return True
        for folder, spec in reversed(self.layers):
            taken = _taken(folder, spec, path, is_folder)
            if taken is not None:
                return taken
        return False


def _taken(folder: str, spec: GitIgnoreSpec, path: str, is_folder: bool) -> bool | None:
    above = os.path.join(folder, "")
    relative = path[len(above) :] if path.startswith(above) else path
    return matches_path(spec, relative, is_folder=is_folder)
