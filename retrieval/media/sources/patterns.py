"""Expand path patterns such as `{000..010}.tar`, `{a,b}/*.jpg` and `photos/**/*.png`."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator

import bracex

from retrieval.errors import SourceError
from retrieval.media.names import quote

MAX_BRACE_NAMES = 1_000_000
"""Names that the braces of one pattern may expand to; bracex holds them in memory."""


def expand_braces(pattern: str) -> Iterator[str]:
    """Yield every combination of the `{a,b}` and `{000..010}` of a pattern, as a shell does.

    Raises:
        SourceError: There are more than `MAX_BRACE_NAMES`.
    """
    try:
        yield from bracex.iexpand(pattern, keep_escapes=True, limit=MAX_BRACE_NAMES)
    except bracex.ExpansionLimitException as error:
        raise SourceError(
            f"{quote(pattern)}: the braces expand to more than {MAX_BRACE_NAMES:,} names; "
            "split the pattern, or use a wildcard"
        ) from error


def is_pattern(text: str) -> bool:
    """Whether a text has wildcards and is not the name of a file."""
    return glob.has_magic(text) and not os.path.lexists(text)


def find_matches(pattern: str) -> list[str]:
    """Return the paths that match a pattern with wildcards, sorted.

    Raises:
        SourceError: Nothing matches.
    """
    paths = sorted(glob.glob(pattern, recursive=True))
    if not paths:
        raise SourceError(f"{quote(pattern)}: no file matches; check the pattern")
    return paths


def has_fixed_extension(pattern: str) -> bool:
    """Whether a pattern fixes the extension, as `*.csv` does and `*` does not."""
    suffix = os.path.splitext(pattern)[1]
    return len(suffix) > 1 and not glob.has_magic(suffix)
