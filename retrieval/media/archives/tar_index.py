"""Index the names in a tar, to find repeated names and to pair media with captions and columns.

A stem is a member's name without its extension. A text belongs to the media file with which it
shares the longest stem, counted in parts between dots: `22.05.txt` to `22.05.jpg`, `a.jpg.json` to
`a.jpg`, `a.caption.txt` to `a.jpg`. Media files of one stem share their texts.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

_SCHEMA = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE TABLE seen (name BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE media (id INTEGER PRIMARY KEY, name BLOB UNIQUE, stem BLOB);
    CREATE INDEX media_stem ON media (stem);
    -- For every beginning of a longer stem that stem, or NULL if there are several.
    CREATE TABLE beginnings (beginning BLOB PRIMARY KEY, stem BLOB) WITHOUT ROWID;
    -- A text belongs to one media file or to all media files of one stem.
    CREATE TABLE texts (
        id INTEGER PRIMARY KEY, name BLOB UNIQUE, position INTEGER, size INTEGER, problem TEXT,
        media_name BLOB, media_stem BLOB
    );
    CREATE INDEX texts_media_name ON texts (media_name);
    CREATE INDEX texts_media_stem ON texts (media_stem);
    BEGIN;
"""


@dataclass(frozen=True, slots=True)
class TarText:
    """A caption or columns: name of the member, and its span in the file of collected texts."""

    name: str
    position: int
    size: int


class TarIndex:
    """The names in one tar, in a temporary SQLite file, so that memory use is bounded."""

    def __init__(self) -> None:
        # SQLite deletes a database without a name when it is closed. One transaction that is never
        # committed spares the cost of a commit per statement.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Delete the index."""
        self._database.close()

    def is_seen(self, name: str) -> bool:
        """Whether `add_seen` was called with a name."""
        return self._exists("SELECT 1 FROM seen WHERE name = ?", name)

    def add_seen(self, name: str) -> None:
        """Remember a name."""
        self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (_encode(name),))

    def clear_seen(self) -> None:
        """Forget all names given to `add_seen`."""
        self._database.execute("DELETE FROM seen")

    def add_media(self, name: str) -> None:
        """Add a media file."""
        stem = os.path.splitext(name)[0]
        if not self._has_stem(stem):
            self._database.executemany(
                "INSERT INTO beginnings VALUES (?, ?) ON CONFLICT DO UPDATE SET stem = NULL",
                [(_encode(beginning), _encode(stem)) for beginning in _beginnings(stem)],
            )
        self._database.execute(
            "INSERT INTO media (name, stem) VALUES (?, ?)", (_encode(name), _encode(stem))
        )

    def add_text(self, text: TarText, problem: str | None = None) -> None:
        """Add a caption or columns; one with a problem is not paired."""
        self._database.execute(
            "INSERT INTO texts (name, position, size, problem) VALUES (?, ?, ?, ?)",
            (_encode(text.name), text.position, text.size, problem),
        )

    def report(self, name: str, problem: str) -> None:
        """Record a problem of a text."""
        self._database.execute(
            "UPDATE texts SET problem = ? WHERE name = ?", (problem, _encode(name))
        )

    def pair_texts(self) -> None:
        """Assign every text to its media files, or record that there are none or several stems."""
        (count,) = self._database.execute("SELECT COUNT(*) FROM texts").fetchone()
        for number in range(1, count + 1):
            name, problem = self._database.execute(
                "SELECT name, problem FROM texts WHERE id = ?", (number,)
            ).fetchone()
            if problem is None:
                self._pair(_decode(name))

    def _pair(self, name: str) -> None:
        stem = os.path.splitext(name)[0]
        if self._exists("SELECT 1 FROM media WHERE name = ?", stem):
            self._assign(name, "media_name", stem)
        elif self._has_stem(stem):
            self._assign(name, "media_stem", stem)
        elif self._exists("SELECT 1 FROM beginnings WHERE beginning = ?", stem):
            (longer,) = self._database.execute(
                "SELECT stem FROM beginnings WHERE beginning = ?", (_encode(stem),)
            ).fetchone()
            if longer is None:
                self.report(name, "several media files match it equally; name it after one of them")
            else:
                self._assign(name, "media_stem", _decode(longer))
        else:
            shorter = next(filter(self._has_stem, _beginnings(stem)), None)
            if shorter is None:
                self.report(
                    name,
                    "a caption or columns without a media file of its name; pack them together",
                )
            else:
                self._assign(name, "media_stem", shorter)

    def _assign(self, name: str, column: str, media: str) -> None:
        self._database.execute(
            f"UPDATE texts SET {column} = ? WHERE name = ?", (_encode(media), _encode(name))
        )

    def texts_of(self, media: str) -> list[TarText]:
        """Return the texts of a media file, in the order of the tar."""
        rows = self._database.execute(
            "SELECT name, position, size FROM texts WHERE media_name = ? OR media_stem = ? "
            "ORDER BY id",
            (_encode(media), _encode(os.path.splitext(media)[0])),
        )
        return [TarText(_decode(name), position, size) for name, position, size in rows]

    def problems(self) -> Iterator[tuple[TarText, str]]:
        """Yield the texts that have a problem, in the order of the tar."""
        rows = self._database.execute(
            "SELECT name, position, size, problem FROM texts WHERE problem IS NOT NULL ORDER BY id"
        )
        for name, position, size, problem in rows:
            yield TarText(_decode(name), position, size), problem

    def _has_stem(self, stem: str) -> bool:
        return self._exists("SELECT 1 FROM media WHERE stem = ?", stem)

    def _exists(self, query: str, name: str) -> bool:
        return self._database.execute(query, (_encode(name),)).fetchone() is not None


def _beginnings(stem: str) -> Iterator[str]:
    """Yield the shorter stems that begin a stem, longest first: `a.b.c` has `a.b` and `a`."""
    folder, base = os.path.split(stem)
    while "." in base[1:]:
        base = base.rpartition(".")[0]
        yield os.path.join(folder, base)


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")  # SQLite's text cannot hold surrogate escapes


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")
