"""Exclude files by patterns in the syntax of gitignore."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from pathspec import GitIgnoreSpec

from retrieval.errors import SourceError
from retrieval.files.reading import read_text

IGNORE_FILE = ".retrievalignore"


def compile_patterns(patterns: Iterable[str], source: str | None = None) -> GitIgnoreSpec:
    """Compile patterns.

    Args:
        patterns: The patterns.
        source: What an error names; by default the patterns.

    Raises:
        SourceError: A pattern is invalid.
    """
    patterns = list(patterns)
    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise SourceError(
            f"{source or ', '.join(map(repr, patterns))}: not a pattern in the syntax of "
            f".gitignore ({error}); correct it"
        ) from error


def match_path(spec: GitIgnoreSpec, path: str, *, is_folder: bool = False) -> bool | None:
    """Whether the last pattern that matches a path includes it; None if none matches."""
    return spec.check_file(path.lstrip("/") + ("/" if is_folder else "")).include


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """Exclusion rules below a folder, each with the folder that its patterns are relative to.

    Attributes:
        exclude: The user's patterns and their folder. Ignore files cannot negate them.
        layers: Folders and patterns of ignore files, outermost first. The innermost match decides.
    """

    exclude: tuple[str, GitIgnoreSpec] | None = None
    layers: tuple[tuple[str, GitIgnoreSpec], ...] = ()

    @classmethod
    def from_patterns(cls, patterns: Iterable[str], folder: str) -> IgnoreRules:
        """Create rules from the user's patterns, relative to a folder."""
        spec = compile_patterns(patterns)
        return cls((folder, spec) if len(spec) else None)

    def for_subfolder(self, folder: str) -> IgnoreRules:
        """Add the ignore file of a subfolder, if there is one.

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
                f"{path}: {reason}; its folder is skipped until the file can be read"
            ) from error
        spec = compile_patterns(lines, source=path)
        return IgnoreRules(self.exclude, (*self.layers, (folder, spec)))

    def ignores(self, path: str, *, is_folder: bool = False) -> bool:
        """Whether a file or folder is excluded."""
        if self.exclude is not None and _match_below(*self.exclude, path, is_folder):
            return True
        for folder, spec in reversed(self.layers):
            included = _match_below(folder, spec, path, is_folder)
            if included is not None:
                return included
        return False


def _match_below(folder: str, spec: GitIgnoreSpec, path: str, is_folder: bool) -> bool | None:
    return match_path(spec, path.removeprefix(os.path.join(folder, "")), is_folder=is_folder)
