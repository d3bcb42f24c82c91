r"""What reaches a terminal: text without control characters, JSON, CSV, and raw paths.

Names, captions and documents come from strangers. An escape sequence among them could rewrite the
screen or the clipboard, so every control character is shown as an escape. JSON writes \u instead,
which a parser turns back. Only paths that go into a pipe or a file stay raw.
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

WIDTH_OF_A_PIPE = 1 << 20
"""Columns of a table that no terminal limits: nothing is folded."""

_STRUCTURE = "\n\t"
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL and C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of text
    "\u2028\u2029\ud800-\udfff]"  # separators of lines, and what no encoding can write
)
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def escaped(text: object, *, keep: str = "") -> str:
    r"""Text with every control character as `\n`, `\x1b` or `\u202e`.

    Args:
        text: Shown as `str` gives it.
        keep: Characters that stay as they are.
    """

    def shown(found: re.Match[str]) -> str:
        character = found[0]
        if character in keep:
            return character
        code = ord(character)
        return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")

    return _CONTROL.sub(shown, str(text))


def quoted(uri: str) -> str:
    """A uri with its control characters as `%XX` too: it names the same file."""
    return _CONTROL.sub(lambda m: "".join(f"%{byte:02X}" for byte in os.fsencode(m[0])), uri)


def json_text(value: object, *, indent: int | None = None) -> str:
    """JSON on one line, or indented, as `safe_json` makes it."""
    return safe_json(json.dumps(value, ensure_ascii=False, indent=indent, default=_json_value))


def _json_value(value: object) -> str:
    from retrieval.columns.types import json_value

    return json_value(value)


def safe_json(text: str) -> str:
    r"""JSON with what could harm a terminal written as `\uXXXX`; it means the same."""
    # Outside of strings JSON holds no control character but the newlines of an indent.
    return _CONTROL.sub(lambda m: m[0] if m[0] == "\n" else f"\\u{ord(m[0]):04x}", text)


class CsvPrinter:
    """Rows of CSV on standard output, one header for all of them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._writer.writerow(names)

    def row(self, values: Iterable[object]) -> None:
        """Write a row; texts are escaped, None is empty."""
        self._writer.writerow(
            [escaped(value) if isinstance(value, str) else value for value in values]
        )


def print_paths(paths: Iterable[str], *, nul: bool = False) -> None:
    """Print paths, one a line: escaped on a terminal, byte for byte into a pipe or a file.

    Args:
        paths: As Python has them, with surrogate escapes for bytes that are not UTF-8.
        nul: End each with NUL instead of a newline, and escape nothing: for `xargs -0`.
    """
    if sys.stdout.isatty() and not nul:
        for path in paths:
            print(escaped(path))
        return
    end = b"\0" if nul else b"\n"
    sys.stdout.flush()
    raw = getattr(sys.stdout, "buffer", None)
    for path in paths:
        if raw is None:  # a stream that takes text alone
            sys.stdout.write(path + end.decode())
        else:
            raw.write(os.fsencode(path) + end)
    if raw is not None:
        raw.flush()


# ---------------------------------------------------------------- tables and progress


def console(*, stderr: bool = False) -> Console:
    """Standard output or error for tables and progress; a pipe has room for every line."""
    from rich.console import Console
    from rich.segment import Segment

    class SafeConsole(Console):
        """Shows control characters of what it is given as escapes; its own ones pass."""

        def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                if segment.control:
                    yield segment
                else:
                    yield Segment(escaped(segment.text, keep="\n"), segment.style)

    stream = sys.stderr if stderr else sys.stdout
    width = None if stderr or sys.stdout.isatty() else WIDTH_OF_A_PIPE
    return SafeConsole(
        # The stream below: a progress bar's own control sequences must pass.
        file=getattr(stream, "raw", stream),
        width=width, highlight=False, emoji=False, markup=False,
    )  # fmt: skip


def console_for_tables() -> Console:
    """Standard output, as wide as the terminal, or as any line where there is none."""
    return console()


def cell(text: object, style: str = "") -> Text:
    """Text for a table: escaped, on one line, its end cut by an ellipsis where room is short."""
    from rich.text import Text

    return Text(escaped(text), style=style, no_wrap=True, overflow="ellipsis")


class PathCell:
    """A path for a table: complete, or its end behind an ellipsis, for the end tells more."""

    LEAST_WIDTH = 12

    def __init__(self, path: str) -> None:
        self._text = escaped(path)

    def __rich_measure__(self, console: Any, options: Any) -> Any:
        from rich.cells import cell_len
        from rich.measure import Measurement

        width = cell_len(self._text)
        return Measurement(min(width, self.LEAST_WIDTH), width)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Text]:
        from rich.text import Text

        yield Text(end_of(self._text, options.max_width), no_wrap=True, overflow="crop")


def end_of(text: str, width: int) -> str:
    """A text, or as much of its end as fits into some columns behind an ellipsis."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    room, start = width - 1, len(text)
    while start > 0 and (size := cell_len(text[start - 1])) <= room:
        room -= size
        start -= 1
    return "…" + text[start:]


# ---------------------------------------------------------------- whatever else is printed


class _EscapingStream:
    """A text stream that writes control characters as escapes, except newlines and tabs.

    Everything passes it that no command has escaped: usage errors, warnings, messages of libraries.
    """

    def __init__(self, stream: TextIO) -> None:
        self.raw = stream

    def write(self, text: str) -> int:
        """Write text, escaped."""
        if not isinstance(text, str):  # click writes bytes to find out what a stream accepts
            raise TypeError(f"write() takes text, got {type(text).__name__}")
        self.raw.write(escaped(text, keep=_STRUCTURE))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write some texts, escaped."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


@contextmanager
def escaped_streams() -> Iterator[None]:
    """Make standard output and error escape what is printed."""
    before = sys.stdout, sys.stderr
    sys.stdout = cast(TextIO, _EscapingStream(before[0]))
    sys.stderr = cast(TextIO, _EscapingStream(before[1]))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
