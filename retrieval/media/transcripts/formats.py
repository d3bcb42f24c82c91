"""Read one transcript file: SRT, VTT, LRC, ASS, or the JSON of Whisper."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from itertools import chain
from typing import BinaryIO, cast

from retrieval.errors import DamagedMediaError
from retrieval.media.languages import language_code
from retrieval.media.lists.encodings import encoding_of
from retrieval.media.names import extension
from retrieval.media.transcripts.cues import Transcript, clean_cue, parse_arrows, parse_lyrics

MAX_TRANSCRIPT_BYTES = 256 << 20
"""Larger files are refused."""

MAX_JSON_BYTES = 64 << 20
"""Larger JSON files are refused: parsed, they take several times their size."""

TRANSCRIPT_EXTENSIONS = frozenset(("srt", "vtt", "lrc", "ass", "ssa", "json"))


def read_transcript(file: BinaryIO, name: str, size: int) -> Transcript | None:
    """Read a transcript; None for JSON that holds no transcript, such as columns.

    Args:
        file: Open and seekable.
        name: Its extension tells the format.
        size: Bytes.

    Raises:
        DamagedMediaError: The file is too large.
    """
    suffix = extension(name)
    limit = MAX_JSON_BYTES if suffix == "json" else MAX_TRANSCRIPT_BYTES
    if size > limit:
        raise DamagedMediaError(f"has {size:,} bytes, at most {limit:,} are read; shorten it")
    file.seek(0)
    if suffix == "json":
        return _parse_whisper(file.read())
    encoding = encoding_of(file)
    file.seek(0)
    wrapper = io.TextIOWrapper(file, encoding.name, "replace", newline=None)
    try:
        transcript = _PARSERS[suffix](wrapper)
    finally:
        wrapper.detach()
    if transcript.problem is None and not encoding.is_known:
        transcript.problem = encoding.problem
    return transcript


def _parse_arrows(lines: io.TextIOWrapper) -> Transcript:
    """Parse SRT or VTT, whatever the file is called."""
    first = lines.readline()
    is_vtt = first.lstrip("\ufeff").startswith("WEBVTT")
    return parse_arrows(chain([first] if first else [], lines), is_vtt=is_vtt)


def _parse_ass(lines: io.TextIOWrapper) -> Transcript:
    """Parse the dialogue of ASS or SSA, without its styles and drawings."""
    import pysubs2

    text = lines.read()
    transcript = Transcript()
    if not text.strip():
        return transcript
    events = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.startswith(("Dialogue:", "Format:", "["))
    ]
    try:
        subtitles = pysubs2.SSAFile.from_string(text, format_="ass")
    except Exception as error:  # the library raises arbitrary exceptions on bad lines
        transcript.report(_bad_dialogue(events, pysubs2), f"not a line of ASS ({error})")
        return transcript
    for event in subtitles:
        if event.is_text and event.end >= event.start >= 0:
            transcript.add(event.start / 1000, event.end / 1000, clean_cue(event.plaintext))
    if not subtitles.events:
        transcript.report(len(text.splitlines()), "the file ends without a line of dialogue")
    return transcript.finish()


def _bad_dialogue(events: list[tuple[int, str]], library: object) -> int:
    """Return the number of the first line of dialogue that the library cannot read."""
    head = [line for _, line in events if not line.startswith("Dialogue:")]
    for number, line in events:
        if line.startswith("Dialogue:"):
            try:
                library.SSAFile.from_string("\n".join([*head, line]), format_="ass")  # type: ignore[attr-defined]
            except Exception:
                return number
    return 1


def _parse_whisper(content: bytes) -> Transcript | None:
    """Parse the JSON of Whisper: an object with `segments`, each with start, end and text."""
    transcript = Transcript()
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        if b'"segments"' not in content:
            return None  # other JSON files lie beside media, too
        transcript.report(getattr(error, "lineno", 1), "its JSON cannot be read")
        return transcript
    segments = document.get("segments") if isinstance(document, dict) else document
    if not isinstance(segments, list) or not segments or not _is_segment(segments[0]):
        return None
    if isinstance(document, dict):
        transcript.language = language_code(document.get("language"))
    for number, segment in enumerate(segments, start=1):
        start, end = (_number(segment, name) for name in ("start", "end"))
        if start is None or end is None or not _is_segment(segment) or not 0 <= start <= end:
            reason = "expected start, end and text, in seconds"
            transcript.report(number, reason, unit="segment")
            continue
        transcript.add(start, end, clean_cue(cast(dict[str, str], segment)["text"]))
    return transcript.finish()


def _is_segment(value: object) -> bool:
    return isinstance(value, dict) and "start" in value and isinstance(value.get("text"), str)


def _number(segment: object, name: str) -> float | None:
    value = segment.get(name) if isinstance(segment, dict) else None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


_PARSERS: dict[str, Callable[[io.TextIOWrapper], Transcript]] = {
    "srt": _parse_arrows,
    "vtt": _parse_arrows,
    "lrc": parse_lyrics,
    "ass": _parse_ass,
    "ssa": _parse_ass,
}
