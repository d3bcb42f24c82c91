"""Which captions and columns in a tar belong to which of its media files.

A stem is a member's name without its extension. A partner belongs to the media file with which it
shares the longest stem, counted in parts between dots: `22.05.txt` to `22.05.jpg`, `a.jpg.json` to
`a.jpg`, `a.caption.txt` to `a.jpg`. Media files of one stem share their partners.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence


class Media:
    """The media files of one tar, by their names and stems."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._by_stem: dict[str, list[str]] = {}
        # For every beginning of a stem the stem itself, or None where several begin so.
        self._longer: dict[str, str | None] = {}

    def add(self, name: str) -> None:
        """Take a media file."""
        stem = os.path.splitext(name)[0]
        self._names.add(name)
        if stem not in self._by_stem:
            for beginning in _beginnings(stem):
                self._longer[beginning] = None if beginning in self._longer else stem
        self._by_stem.setdefault(stem, []).append(name)

    def of(self, partner: str) -> Sequence[str] | None:
        """The media files that a partner belongs to; none, or None where several are as near."""
        stem = os.path.splitext(partner)[0]
        if stem in self._names:
            return [stem]
        if stem in self._by_stem:
            return self._by_stem[stem]
        if stem in self._longer:
            longer = self._longer[stem]
            return None if longer is None else self._by_stem[longer]
        shorter = next((found for found in _beginnings(stem) if found in self._by_stem), None)
        return self._by_stem[shorter] if shorter is not None else []


def _beginnings(stem: str) -> Iterator[str]:
    """Shorter stems that a stem begins with, the longest first: `a.b.c` gives `a.b` and `a`."""
    folder, base = os.path.split(stem)
    while "." in base[1:]:
        base = base.rpartition(".")[0]
        yield os.path.join(folder, base)
