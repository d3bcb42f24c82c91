r"""Parses weighted sums of texts and files: `"a horse" + 0.5*@stripes.png - "cartoon"`.

Terms are joined by `+` or `-`; the first one may have a sign. A term is
`[weight*]("text" | @path | @"path")`. Inside quotes `\"` and `\\` represent `"` and `\`. A path
without quotes is the longest one that names an existing file, spaces included; else it ends at the
first space.

A text that is not a sum is plain text. A text that resembles a sum but does not parse is refused
with the position of the error, because a search for the literal text would return wrong results.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from retrieval.errors import QueryError
from retrieval.media.names import container_of, path_to_uri, uri_to_path

MAX_PATH = 4096
"""Length of the longest path on Linux."""

NUMBER = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\])')
_SPACES = re.compile(r"\s*")
_BARE = re.compile(r"[^\s\"]\S*")
_BREAK = re.compile(r"\s+[+-]\s*(?=[\"@.\d])|\s*$")
"""Possible ends of a path with spaces: before the next term, or at the end of the text."""

_OPERATOR = "[-+−–—*×]"
_TEXT = '(?:"[^"]*"|“[^”]{0,1000}”)'
_OPERAND = f"(?:{_TEXT}|@[^\\s])"
_RESEMBLES_SUM = re.compile(
    rf"""
    (?:^|\s|["”)]){_OPERATOR}\s*{_OPERAND}         # an operator before a text in quotes or a file
    | [\w.,)]\s*[*×]\s*{_OPERAND}                  # a weight before it
    | {_TEXT}(?!\s+-[^\W\d_])\s*{_OPERATOR}(?:\s|$|[\w"“@.])  # an operator after a text in quotes,
                                                   # which does not exclude a word: "cat" -dog
    | (?:^|\s)@\S+\s+[-+−–—]\s                     # or after a file
    | "[^"]*"\s*[-+]\s*"[^"]*$                     # a quote that is not closed
    | (?<!\w)'[^']*'\s*[-+*]\s*[@'"]               # texts in other quotes
    """,
    re.VERBOSE | re.DOTALL,
)
_MARKS = re.compile("[@\"'“]")
"""Every sum, and every text that resembles one, contains one of these characters."""

_EXTENSION = re.compile(r"\.[A-Za-z0-9]{2,4}$")


class Summand(NamedTuple):
    """A parsed term: a signed weight, and either a text or a path."""

    weight: float
    text: str | None = None
    path: str | None = None


class _SyntaxError(Exception):
    """The text is not a sum.

    Attributes:
        position: Position of the first unexpected character.
        expected: Description of what the grammar allows at that position.
    """

    def __init__(self, position: int, expected: str) -> None:
        super().__init__(position, expected)
        self.position, self.expected = position, expected


def parse_sum(text: str, *, files: bool = True) -> list[Summand] | None:
    """Parse a sum; return None for plain text.

    Args:
        text: The query.
        files: Whether `@` names a file. Otherwise no file is looked for, and a term with `@` is an
            error.

    Raises:
        QueryError: The text resembles a sum but does not parse. The message names the position.
    """
    if _MARKS.search(text) is None:
        return None
    try:
        return list(_summands(text, files))
    except _SyntaxError as error:
        if not (_RESEMBLES_SUM.search(text) or (files and _names_files(text))):
            return None
        rest = text[error.position : error.position + 20]
        found = f"found {rest!r}" if rest.strip() else "the query ends"
        raise QueryError(
            f"the query looks like a sum: at character {error.position + 1} expected "
            f"{error.expected}, but {found}; {_advice(text)}"
        ) from None


def _advice(text: str) -> str:
    quoted = text.strip().replace("\\", "\\\\").replace('"', '\\"')
    if len(quoted) > 100 or not quoted.isprintable():
        return 'put it into double quotes, each quote inside as \\", to search for the text itself'
    return f'to search for the text itself, write "{quoted}"'


def _names_files(text: str) -> bool:
    # Refuse file names inside plain text, as in `cat @owl.jpg`, instead of ignoring the file.
    for start in re.finditer(r"(?:^|(?<=\s))@(?=\S)", text):
        rest = text[start.end() :]
        first = rest.split(maxsplit=1)[0]
        if _EXTENSION.search(first) or _names_file(_home(first)):
            return True
        if start.start() == 0 and (_EXTENSION.search(rest.strip()) or "/" in first):
            return True
    return False


def _summands(text: str, files: bool) -> Iterator[Summand]:
    position = _skip(text, 0)
    sign = 1
    if text[position : position + 1] in ("+", "-"):
        sign = -1 if text[position] == "-" else 1
        position = _skip(text, position + 1)
    while True:
        summand, position = _summand(text, position, sign, files)
        yield summand
        position = _skip(text, position)
        if position == len(text):
            return
        if text[position] not in "+-":
            missing = summand.path is not None and not _names_file(summand.path)
            raise _SyntaxError(
                position, f"+ or - (no file {summand.path!r})" if missing else "+ or -"
            )
        sign = -1 if text[position] == "-" else 1
        position = _skip(text, position + 1)


def _summand(text: str, position: int, sign: int, files: bool) -> tuple[Summand, int]:
    weight = 1.0
    number = NUMBER.match(text, position)
    if number is not None:
        star = _skip(text, number.end())
        if text[star : star + 1] != "*":
            raise _SyntaxError(star, f"* after the weight {number[0]}")
        weight = float(number[0])
        position = _skip(text, star + 1)
    weight *= sign
    if text[position : position + 1] == '"':
        quoted, end = _quoted(text, position)
        return Summand(weight, text=quoted.strip()), end
    if not files or text[position : position + 1] != "@":
        raise _SyntaxError(position, f'a text in "double quotes"{" or @FILE" if files else ""}')
    if text[position + 1 : position + 2] == '"':
        quoted, end = _quoted(text, position + 1)
        return Summand(weight, path=_home(quoted)), end
    path, end = _bare_path(text, position + 1)
    return Summand(weight, path=path), end


def _quoted(text: str, position: int) -> tuple[str, int]:
    match = _QUOTED.match(text, position)
    if match is None:
        raise _SyntaxError(position, "a closing double quote")
    return _ESCAPED.sub(r"\1", match[1]), match.end()


def _bare_path(text: str, position: int) -> tuple[str, int]:
    """Parse the longest path of an existing file, else everything up to the first space."""
    word = _BARE.match(text, position)
    if word is None:
        raise _SyntaxError(position, "a file name after @")
    reach = position + MAX_PATH
    breaks = {end.start() for end in _BREAK.finditer(text, position, reach)} - {position}
    for end in sorted({*breaks, word.end()}, reverse=True):
        path = _home(text[position:end])
        if os.path.isfile(path):
            return path, end
    for end in sorted(breaks):
        path = _home(text[position:end])
        if _names_file(path):
            return path, end
    return _home(word[0]), word.end()


def _names_file(path: str) -> bool:
    """Whether a path names an existing file, or a member of an existing tar."""
    if os.path.isfile(path):
        return True
    if ".tar" not in path:
        return False
    try:
        archive, member = container_of(path_to_uri(path))
    except UnicodeEncodeError:  # A lone surrogate, which no file name contains.
        return False
    return member is not None and os.path.isfile(uri_to_path(archive))


def _skip(text: str, position: int) -> int:
    spaces = _SPACES.match(text, position)
    assert spaces is not None  # The pattern matches the empty string.
    return spaces.end()


def _home(path: str) -> str:
    return os.path.expanduser(path)
