"""Parse the cues of subtitle files and lyrics."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from retrieval.media.languages import language_code

MIN_CUE_SECONDS = 0.001
LAST_LINE_SECONDS = 5.0
"""Length of the last line of lyrics, whose end no file states."""

_TIME = r"(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2})(?:[.,:](\d{1,3}))?"
_ARROW = re.compile(rf"\s*{_TIME}\s*-+>\s*{_TIME}(?:\s.*)?", re.DOTALL)
_TAG = re.compile(r"<[/!]?[A-Za-z0-9._:][^<>]*>|\{\\[^{}]*\}")
_LYRIC = re.compile(r"\[(\d{1,4}):(\d{1,2}(?:[.:]\d{1,3})?)\]")
_LYRIC_TAG = re.compile(r"\[([A-Za-z#]+)\s*:(.*)\]\s*$")
_WORD_TIME = re.compile(r"<\d{1,4}:\d{1,2}(?:[.:]\d{1,3})?>")


@dataclass(slots=True)
class Transcript:
    """The cues of one file.

    Attributes:
        cues: Start, end and text, in order of time.
        language: ISO 639-1 code that the file names.
        problem: What is wrong with the first bad line, with its number; None if all are good.
    """

    cues: list[tuple[float, float, str]] = field(default_factory=list)
    language: str | None = None
    problem: str | None = None

    def report(self, number: int, reason: str, *, unit: str = "line") -> None:
        """Keep the reason of the first bad line."""
        if self.problem is None:
            self.problem = f"{unit} {number}: {reason}"

    def add(self, start: float, end: float, text: str) -> None:
        """Add a cue unless it has no text; one without a length gets the shortest."""
        if text:
            self.cues.append((start, max(end, start + MIN_CUE_SECONDS), text))

    def finish(self) -> Transcript:
        """Sort the cues by time."""
        self.cues.sort(key=lambda cue: cue[:2])
        return self


def clean_cue(text: str) -> str:
    """Return the plain text of a cue in one line, without tags and control characters."""
    text = _TAG.sub("", text) if "<" in text or "{" in text else text
    text = " ".join(text.split())
    if not text.isprintable():
        text = "".join(each if each.isprintable() or _is_mark(each) else " " for each in text)
        text = " ".join(text.split())
    return text


def _is_mark(character: str) -> bool:
    """Whether a character directs or joins others, as in right-to-left texts."""
    return character in "\u200c\u200d\u200e\u200f\u061c"


# ---------------------------------------------------------------- SRT and VTT


def parse_arrows(lines: Iterable[str], *, is_vtt: bool) -> Transcript:
    """Parse SRT or VTT: lines of times with an arrow, each with the text that follows.

    A block whose times cannot be read is left out and reported with its line.
    """
    transcript = Transcript()
    for number, times, text in _blocks(lines, transcript, is_vtt):
        match = _ARROW.fullmatch(times)
        if match is None:
            transcript.report(
                number, f"expected `00:00:01,000 --> 00:00:02,000`, found {_shown(times)}"
            )
            continue
        start, end = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
        if end < start:
            transcript.report(number, f"a cue ends before it starts: {_shown(times)}")
            continue
        joined = "\n".join(text)
        transcript.add(start, end, clean_cue(html.unescape(joined) if is_vtt else joined))
    return transcript.finish()


def _blocks(
    lines: Iterable[str], transcript: Transcript, is_vtt: bool
) -> Iterator[tuple[int, str, list[str]]]:
    """Yield the number and content of every line of times, and the lines of its text."""
    current: tuple[int, str, list[str]] | None = None
    number = 0
    for number, line in _without_notes(lines) if is_vtt else enumerate(lines, start=1):
        line = line.rstrip("\r\n")
        if _has_arrow(line):
            if current is not None:
                _drop_identifier(current[2], is_vtt)
                yield current
            current = (number, line, [])
        elif current is not None:
            current[2].append(line)
        elif line.strip():
            _read_header(line, number, transcript, is_vtt)
    if current is not None:
        yield current
    elif number and transcript.problem is None:
        transcript.report(number, "the file ends without a cue")


def _without_notes(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield lines with their numbers, without the notes, styles and regions of VTT."""
    is_note = False
    is_first = True  # of a block, which an empty line ends
    for number, line in enumerate(lines, start=1):
        if is_first:
            is_note = line.startswith(("NOTE", "STYLE", "REGION"))
        is_first = not line.strip()
        if not is_note or is_first:
            yield number, line


def _has_arrow(line: str) -> bool:
    return "-->" in line or ("->" in line and line.lstrip()[:1].isdecimal())


def _drop_identifier(text: list[str], is_vtt: bool) -> None:
    """Drop the number of the next cue, or in VTT its name, which follows an empty line."""
    if not text:
        return
    is_name = is_vtt and len(text) >= 2 and not text[-2].strip()
    if is_name or text[-1].strip().isdecimal():
        text.pop()


def _read_header(line: str, number: int, transcript: Transcript, is_vtt: bool) -> None:
    """Read a line before the first cue: the mark of VTT, its language, or the number of a cue."""
    text = line.lstrip("\ufeff").strip()
    if is_vtt:
        name, _, value = text.partition(":")
        if name.casefold() == "language":
            transcript.language = language_code(value)
        if number == 1 and not text.startswith("WEBVTT"):
            transcript.report(number, f"expected WEBVTT, found {_shown(text)}")
    elif not text.isdecimal():
        transcript.report(
            number, f"expected the number or the times of a cue, found {_shown(text)}"
        )


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = parts
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return (whole * 1000 + int((fraction or "0").ljust(3, "0"))) / 1000


def _shown(text: str) -> str:
    return ascii(text.strip()[:40])[:80]


# ---------------------------------------------------------------- LRC


def parse_lyrics(lines: Iterable[str]) -> Transcript:
    """Parse LRC: lines of a song, each with the times at which it starts."""
    transcript = Transcript()
    starts: list[tuple[float, str]] = []
    offset = 0.0
    for number, line in enumerate(lines, start=1):
        text = line.lstrip("\ufeff").strip()
        times = []
        while match := _LYRIC.match(text):
            times.append(int(match[1]) * 60 + float(match[2].replace(":", ".")))
            text = text[match.end() :].lstrip()
        if times:
            content = clean_cue(_WORD_TIME.sub(" ", text))
            starts += [(seconds, content) for seconds in times]
        elif tag := _LYRIC_TAG.match(text):
            if tag[1].casefold() == "offset":
                offset = _offset_seconds(tag[2])
            elif tag[1].casefold() in ("la", "language"):
                transcript.language = language_code(tag[2])
        elif text:
            transcript.report(number, f"expected `[00:01.00] text`, found {_shown(text)}")
    starts.sort(key=lambda each: each[0])
    ends = [seconds for seconds, _ in starts[1:]]
    last = [starts[-1][0] + LAST_LINE_SECONDS] if starts else []
    for (start, text), end in zip(starts, [*ends, *last], strict=True):
        shifted = max(0.0, start - offset)
        transcript.add(shifted, max(shifted, end - offset), text)
    return transcript.finish()


def _offset_seconds(text: str) -> float:
    try:
        return int(text.strip()) / 1000
    except ValueError:
        return 0.0
