"""Cuts an excerpt out of a matching text, and marks the words that match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from retrieval.texts.groups import Passage
from retrieval.texts.tokenizer import Tokenizer
from retrieval.types import TextMatch

MAX_EXCERPT = 160
"""Code points of an excerpt, without the ellipses."""

CONTEXT = 40
"""Code points before the first marked word of an excerpt, at most."""

ELLIPSIS = "…"

Span = tuple[int, int]


def text_match(passage: Passage, terms: AbstractSet[str], tokenizer: Tokenizer) -> TextMatch:
    """Describe a matching passage: an excerpt with marks.

    Args:
        passage: The passage.
        terms: Terms to mark.
        tokenizer: Tokenizer of the index.
    """
    row = passage.row
    spans = matching_spans(row.text, terms, tokenizer)
    text, marks = excerpt(row.text, spans)
    timed = passage.is_timed
    return TextMatch(
        row.source,
        text,
        tuple(marks),
        row.start_seconds if timed else None,
        row.end_seconds if timed else None,
    )


def matching_spans(text: str, terms: AbstractSet[str], tokenizer: Tokenizer) -> list[Span]:
    """Return the spans of a text whose terms match, joined where they overlap."""
    spans = sorted((w.start, w.end) for w in tokenizer.located_terms(text) if w.text in terms)
    joined: list[Span] = []
    for start, end in spans:
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def excerpt(text: str, spans: Sequence[Span]) -> tuple[str, list[Span]]:
    """Cut a text to `MAX_EXCERPT` code points around most of the spans; return it with the spans.

    White space is shown as single spaces. `… ` and ` …` replace what is cut off.
    """
    start, end = _window(text, spans)
    before = f"{ELLIPSIS} " if text[:start].strip() else ""
    after = f" {ELLIPSIS}" if text[end:].strip() else ""
    shown, places = _single_spaces(text[start:end])
    marks = [
        (places[first - start] + len(before), places[last - start - 1] + 1 + len(before))
        for first, last in _within(spans, start, end)
    ]
    return f"{before}{shown}{after}", marks


def _window(text: str, spans: Sequence[Span]) -> Span:
    """Choose the part of a text to show; it starts and ends between words where possible."""
    if len(text) <= MAX_EXCERPT:
        return 0, len(text)
    first = max(spans, key=lambda span: _marked(spans, span[0]), default=(0, 0))[0]
    last = max((b for a, b in spans if a >= first and b <= first + MAX_EXCERPT), default=first)
    start = max(0, min(first - CONTEXT, len(text) - MAX_EXCERPT), last - MAX_EXCERPT)
    start = min(start, first)
    end = min(len(text), start + MAX_EXCERPT)
    if start > 0:
        space = _next_space(text, start, first)
        start = start if space is None else space + 1
    if end < len(text):
        space = next((n for n in range(end, max(last, start), -1) if text[n].isspace()), None)
        end = end if space is None else space
    return start, end


def _marked(spans: Sequence[Span], start: int) -> int:
    """Count the spans that an excerpt from `start` on shows."""
    return sum(start <= a and b <= start + MAX_EXCERPT for a, b in spans)


def _next_space(text: str, start: int, end: int) -> int | None:
    return next((n for n in range(start, end) if text[n].isspace()), None)


def _within(spans: Iterable[Span], start: int, end: int) -> list[Span]:
    clipped = ((max(a, start), min(b, end)) for a, b in spans)
    return [(a, b) for a, b in clipped if a < b]


def _single_spaces(text: str) -> tuple[str, Sequence[int]]:
    """Replace white space by single spaces; return the new place of every code point."""
    if " ".join(text.split()) == text:
        return text, range(len(text))
    shown: list[str] = []
    places = []
    for character in text:
        if not character.isspace():
            shown.append(character)
        elif shown and shown[-1] != " ":
            shown.append(" ")
        places.append(max(0, len(shown) - 1))
    return "".join(shown).rstrip(" "), places
