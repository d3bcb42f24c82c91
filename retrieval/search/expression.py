r"""Sums of texts and files as people type them: `"a horse" + 0.5*@stripes.png - "cartoon"`.

The grammar: terms joined by `+` or `-`; the first may have a sign of its own. A term is
`[weight*]("text" | @path | @"path")`; inside quotes `\"` and `\\` stand for `"` and `\`. A path
without quotes reaches as far as there is a file of that name, spaces included; where there is none,
to the first space.

A text that is no sum is searched as it is. But one that was clearly meant as a sum is refused with
the position where it stops being one: searching its text would answer another question.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from retrieval.errors import QueryError
from retrieval.media.names import container_of, path_to_uri, uri_to_path

MAX_PATH = 4096
"""Characters of a path at most, as Linux has it."""

NUMBER = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\])')
_SPACES = re.compile(r"\s*")
_BARE = re.compile(r"[^\s\"]\S*")
_BREAK = re.compile(r"\s+[+-]\s*(?=[\"@.\d])|\s*$")
"""Where a path with spaces may end: before the next term, or with the text."""

_OPERATOR = "[-+−–—*×]"
_TEXT = '(?:"[^"]*"|“[^”]{0,1000}”)'
_OPERAND = f"(?:{_TEXT}|@[^\\s])"
_MEANT = re.compile(
    rf"""
    (?:^|\s|["”)]){_OPERATOR}\s*{_OPERAND}         # an operator before a text in quotes or a file
    | [\w.,)]\s*[*×]\s*{_OPERAND}                  # a weight before it
    | {_TEXT}\s*{_OPERATOR}(?:\s|$|[\w"“@.])       # an operator after a text in quotes
    | (?:^|\s)@\S+\s+[-+−–—]\s                     # or after a file
    | "[^"]*"\s*[-+]\s*"[^"]*$                     # a quote that is not closed
    | (?<!\w)'[^']*'\s*[-+*]\s*[@'"]               # texts in other quotes
    """,
    re.VERBOSE | re.DOTALL,
)
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{2,4}$")


class Summand(NamedTuple):
    """A term as it was read: exactly one of text and path, and its weight with its sign."""

    weight: float
    text: str | None = None
    path: str | None = None


class _Stop(Exception):  # noqa: N818 - not an error yet: the text may be no sum at all
    """Where a text stops being a sum.

    Attributes:
        position: Of the character, from 0.
        expected: What could have stood there.
    """

    def __init__(self, position: int, expected: str) -> None:
        super().__init__(position, expected)
        self.position, self.expected = position, expected


def parse_sum(text: str) -> list[Summand] | None:
    """Read a sum; None where the text is none and was not meant as one.

    Args:
        text: As it was typed.

    Raises:
        QueryError: It looks like a sum and cannot be read as one; says where it stops.
    """
    try:
        return list(_summands(text))
    except _Stop as stop:
        if not _was_meant(text):
            return None
        found = text[stop.position : stop.position + 20]
        there = f"found {found!r}" if found.strip() else "the query ends"
        raise QueryError(
            f"the query looks like a sum, but at character {stop.position + 1} it expects "
            f"{stop.expected} and {there}; {_advice(text)}"
        ) from None


def _advice(text: str) -> str:
    quoted = text.strip().replace("\\", "\\\\").replace('"', '\\"')
    if len(quoted) > 100 or not quoted.isprintable():
        return 'put it into double quotes, each quote inside as \\", to search for the text itself'
    return f'to search for the text itself, write "{quoted}"'


def _was_meant(text: str) -> bool:
    if _MEANT.search(text):
        return True
    # Files named anywhere, as in `cat @owl.jpg`: words alone would lose them without a sign of it.
    for start in re.finditer(r"(?:^|(?<=\s))@(?=\S)", text):
        rest = text[start.end() :]
        first = rest.split(maxsplit=1)[0]
        if _EXTENSION.search(first) or _is_named(_home(first)):
            return True
        if start.start() == 0 and (_EXTENSION.search(rest.strip()) or "/" in first):
            return True
    return False


def _summands(text: str) -> Iterator[Summand]:
    position = _skip(text, 0)
    sign = 1
    if text[position : position + 1] in ("+", "-"):
        sign = -1 if text[position] == "-" else 1
        position = _skip(text, position + 1)
    while True:
        summand, position = _summand(text, position, sign)
        yield summand
        position = _skip(text, position)
        if position == len(text):
            return
        if text[position] not in "+-":
            lost = summand.path is not None and not _is_named(summand.path)
            raise _Stop(
                position, f"+ or - (no file is called {summand.path!r})" if lost else "+ or -"
            )
        sign = -1 if text[position] == "-" else 1
        position = _skip(text, position + 1)


def _summand(text: str, position: int, sign: int) -> tuple[Summand, int]:
    weight = 1.0
    number = NUMBER.match(text, position)
    if number is not None:
        star = _skip(text, number.end())
        if text[star : star + 1] != "*":
            raise _Stop(star, f"* after the weight {number[0]}")
        weight = float(number[0])
        position = _skip(text, star + 1)
    weight *= sign
    if text[position : position + 1] == '"':
        quoted, end = _quoted(text, position)
        return Summand(weight, text=quoted.strip()), end
    if text[position : position + 1] != "@":
        raise _Stop(position, 'a text in "double quotes" or @FILE')
    if text[position + 1 : position + 2] == '"':
        quoted, end = _quoted(text, position + 1)
        return Summand(weight, path=_home(quoted)), end
    path, end = _bare_path(text, position + 1)
    return Summand(weight, path=path), end


def _quoted(text: str, position: int) -> tuple[str, int]:
    found = _QUOTED.match(text, position)
    if found is None:
        raise _Stop(position, "a second double quote that closes this one")
    return _ESCAPED.sub(r"\1", found[1]), found.end()


def _bare_path(text: str, position: int) -> tuple[str, int]:
    """The longest name of a file that begins here, or else all up to the first space."""
    found = _BARE.match(text, position)
    if found is None:
        raise _Stop(position, "the name of a file after @")
    reach = position + MAX_PATH
    breaks = {end.start() for end in _BREAK.finditer(text, position, reach)} - {position}
    for end in sorted({*breaks, found.end()}, reverse=True):
        path = _home(text[position:end])
        if os.path.isfile(path):
            return path, end
    for end in sorted(breaks):
        path = _home(text[position:end])
        if _is_named(path):
            return path, end
    return _home(found[0]), found.end()


def _is_named(path: str) -> bool:
    """Whether a path names a file, or a member of a tar that is there."""
    if os.path.isfile(path):
        return True
    if ".tar" not in path:
        return False
    try:
        archive, member = container_of(path_to_uri(path))
    except UnicodeEncodeError:  # a lone surrogate, which no name holds
        return False
    return member is not None and os.path.isfile(uri_to_path(archive))


def _skip(text: str, position: int) -> int:
    found = _SPACES.match(text, position)
    assert found is not None  # it matches nothing, too
    return found.end()


def _home(path: str) -> str:
    return os.path.expanduser(path)
