r"""Terminal output without control characters: text, JSON, CSV, and raw paths.

File names and captions are untrusted. An escape sequence in them could change the screen or the
clipboard, so control characters are printed as escapes. JSON uses \u escapes, which parsers decode.
Only paths that go into a pipe or a file stay raw.
"""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

PIPE_WIDTH = 1 << 20
"""Width of tables that are not printed on a terminal: lines are not folded."""

_STRUCTURE = "\n\t"
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL and C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # changes of text direction
    "\u2028\u2029\ud800-\udfff]"  # line separators, and surrogates, which have no encoding
)
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def escaped(text: object, *, keep: str = "") -> str:
    r"""Replace each control character by `\n`, `\x1b` or `\u202e`.

    Args:
        text: Converted with `str`.
        keep: Control characters that are not replaced.
    """

    def escape(match: re.Match[str]) -> str:
        character = match[0]
        if character in keep:
            return character
        code = ord(character)
        return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")

    return _CONTROL.sub(escape, str(text))


def quoted(uri: str) -> str:
    """Percent-encode the control characters of a uri; it still names the same file."""
    return _CONTROL.sub(lambda m: "".join(f"%{byte:02X}" for byte in os.fsencode(m[0])), uri)


def json_text(value: object, *, indent: int | None = None) -> str:
    """Serialise a value as JSON without control characters."""
    return safe_json(json.dumps(value, ensure_ascii=False, indent=indent, default=_json_value))


def _json_value(value: object) -> str:
    from retrieval.columns.types import json_value

    return json_value(value)


def safe_json(text: str) -> str:
    r"""Replace control characters in JSON by `\uXXXX`, which has the same meaning."""
    # Outside of strings, JSON has no control characters except newlines of an indent.
    return _CONTROL.sub(lambda m: m[0] if m[0] == "\n" else f"\\u{ord(m[0]):04x}", text)


class CsvPrinter:
    """Prints CSV rows below one header on standard output."""

    def __init__(self, names: Iterable[str]) -> None:
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._writer.writerow(names)

    def row(self, values: Iterable[object]) -> None:
        """Print a row. Text is escaped; None is an empty field."""
        self._writer.writerow(
            [escaped(value) if isinstance(value, str) else value for value in values]
        )


def print_paths(paths: Iterable[str], *, nul: bool = False) -> None:
    """Print one path per line: escaped on a terminal, as raw bytes in a pipe or a file.

    Args:
        paths: Paths with surrogate escapes for bytes that are not UTF-8.
        nul: End each path with NUL instead of a newline and escape nothing, for `xargs -0`.
    """
    if sys.stdout.isatty() and not nul:
        for path in paths:
            print(escaped(path))
        return
    end = b"\0" if nul else b"\n"
    sys.stdout.flush()
    raw = getattr(sys.stdout, "buffer", None)
    for path in paths:
        if raw is None:  # a stream without a binary buffer
            sys.stdout.write(path + end.decode())
        else:
            raw.write(os.fsencode(path) + end)
    if raw is not None:
        raw.flush()


# ---------------------------------------------------------------- tables and progress


def console(*, stderr: bool = False) -> Console:
    """Return a console for tables and progress; in a pipe it does not fold lines."""
    from rich.console import Console
    from rich.segment import Segment

    class SafeConsole(Console):
        """Escapes control characters of the content, but not those of the console itself."""

        def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                if segment.control:
                    yield segment
                else:
                    yield Segment(escaped(segment.text, keep="\n"), segment.style)

    stream = sys.stderr if stderr else sys.stdout
    width = None if stderr or sys.stdout.isatty() else PIPE_WIDTH
    return SafeConsole(
        # The raw stream, because control sequences of progress bars must not be escaped.
        file=getattr(stream, "raw", stream),
        width=width, highlight=False, emoji=False, markup=False,
    )  # fmt: skip


def console_for_tables() -> Console:
    """Return a console for tables on standard output."""
    return console()


def cell(text: object, style: str = "") -> Text:
    """Return an escaped table cell on one line; an ellipsis replaces its end if space is short."""
    from rich.text import Text

    return Text(escaped(text), style=style, no_wrap=True, overflow="ellipsis")


class PathCell:
    """A table cell with a path; an ellipsis replaces its start if space is short."""

    MIN_WIDTH = 12

    def __init__(self, path: str) -> None:
        self._text = escaped(path)

    def __rich_measure__(self, console: Any, options: Any) -> Any:
        from rich.cells import cell_len
        from rich.measure import Measurement

        width = cell_len(self._text)
        return Measurement(min(width, self.MIN_WIDTH), width)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Text]:
        from rich.text import Text

        yield Text(end_of(self._text, options.max_width), no_wrap=True, overflow="crop")


def end_of(text: str, width: int) -> str:
    """Shorten a text to a width in columns; an ellipsis replaces its start."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    room, start = width - 1, len(text)
    while start > 0 and (size := cell_len(text[start - 1])) <= room:
        room -= size
        start -= 1
    return "…" + text[start:]


# ---------------------------------------------------------------- other output


class _EscapingStream:
    """A text stream that escapes control characters, except newlines and tabs.

    It covers text that no command escapes: usage errors, warnings, and messages of libraries.
    """

    def __init__(self, stream: TextIO) -> None:
        self.raw = stream

    def write(self, text: str) -> int:
        """Escape and write text."""
        if not isinstance(text, str):  # click writes bytes to test whether a stream is binary
            raise TypeError(f"write() takes text, got {type(text).__name__}")
        self.raw.write(escaped(text, keep=_STRUCTURE))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Escape and write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


@contextmanager
def escaped_streams() -> Iterator[None]:
    """Escape everything that is printed to standard output and error."""
    before = sys.stdout, sys.stderr
    sys.stdout = cast(TextIO, _EscapingStream(before[0]))
    sys.stderr = cast(TextIO, _EscapingStream(before[1]))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
