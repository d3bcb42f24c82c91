"""Patterns of paths as a shell expands them: `{000..010}.tar`, `{a,b}/*.jpg`, `photos/**/*.png`."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from itertools import product

from retrieval.errors import SourceError
from retrieval.media.names import quote


def expand_braces(pattern: str) -> Iterator[str]:
    """Yield every combination of the `{a,b}` and `{000..010}` of a pattern, in order."""
    parts = re.split(r"\{([^{}]*(?:,|\.\.)[^{}]*)\}", pattern)
    fixed, braces = parts[::2], parts[1::2]
    # Not held as lists: {0..999999999} costs no memory before its first missing file.
    if len(braces) == 1:
        for choice in _choices(braces[0]):
            yield f"{fixed[0]}{choice}{fixed[1]}"
        return
    for combination in product(*map(_choices, braces)):
        pieces = zip(fixed, (*combination, ""), strict=True)
        yield "".join(piece for pair in pieces for piece in pair)


def _choices(brace: str) -> Iterator[str]:
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", brace)
    if numbers is None:
        yield from brace.split(",")
        return
    first, last = numbers.groups()
    # As in a shell, {08..10} counts with leading zeros and {8..10} without.
    width = len(first) if first.startswith("0") or last.startswith("0") else 0
    step = 1 if int(first) <= int(last) else -1
    for number in range(int(first), int(last) + step, step):
        yield str(number).zfill(width)


def is_pattern(text: str) -> bool:
    """Whether a text has wildcards and names no file as it is."""
    return glob.has_magic(text) and not os.path.lexists(text)


def matches(pattern: str) -> list[str]:
    """List what a pattern with wildcards matches, sorted.

    Raises:
        SourceError: Nothing matches.
    """
    paths = sorted(glob.glob(pattern, recursive=True))
    if not paths:
        raise SourceError(f"{quote(pattern)}: no file matches; check the pattern")
    return paths


def names_an_extension(pattern: str) -> bool:
    """Whether a pattern says which extension it means: `*.csv` takes what `*` passes over."""
    ending = os.path.splitext(pattern)[1]
    return len(ending) > 1 and not glob.has_magic(ending)
