"""Selects the best and worst queries of a task, with thumbnails of their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results.outcome import Answers, MomentAnswer, RankedAnswer
from retrieval.gallery.thumbnails import thumbnail
from retrieval.localization.spans import Span
from retrieval.media.files import EXTENSIONS
from retrieval.media.names import extension, path_to_uri
from retrieval.types import Hit

QUERIES_SHOWN = 4
"""Number of best and of worst queries."""

ITEMS_SHOWN = 3
"""Number of ranked items of a query."""

EXPECTED = "should be found"


@dataclass(frozen=True, slots=True)
class TimeLine:
    """A video with the moment that was found, if any, and the true ones."""

    duration_seconds: float
    found: Span | None
    true: Sequence[Span]

    @property
    def end_seconds(self) -> float:
        """End of the axis, which is never 0."""
        spans = [*self.true, self.found] if self.found else self.true
        return max([self.duration_seconds, 1e-6, *(end for _, end in spans)])


@dataclass(frozen=True, slots=True)
class Card:
    """One item of an answer.

    Attributes:
        head: Rank and score, or `EXPECTED`.
        picture: A `data:` URI; empty without a thumbnail.
        relevant: Whether the item or moment is a correct answer.
    """

    head: str
    name: str
    picture: str
    relevant: bool
    span: Span | None = None
    time_line: TimeLine | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """One query with its answers. `note` names the task and tells how well it was answered."""

    query: str
    note: str
    cards: Sequence[Card]


def best_and_worst(task: Answers) -> list[Example]:
    """Select the worst queries, worst first, then the best ones. No query occurs twice."""
    thumbnails = _Thumbnails(task.files)
    ordered = sorted(task.answers, key=_badness, reverse=True)
    worst = ordered[:QUERIES_SHOWN]
    best = ordered[: len(worst) - 1 : -1][:QUERIES_SHOWN]
    examples = []
    for group, answers in (("worst", worst), ("best", best)):
        for answer in answers:
            if isinstance(answer, RankedAnswer):
                cards, note = _ranked_cards(answer, thumbnails), _rank_note(answer)
            else:
                cards = _moment_cards(answer, thumbnails)
                note = f"IoU {answer.first_overlap:.2f}"
            examples.append(Example(answer.query, f"{task.task}, among the {group}: {note}", cards))
    return examples


def _badness(answer: RankedAnswer | MomentAnswer) -> tuple[float, float]:
    """Order by rank or overlap, then by the margin of the best wrong over the best right item."""
    if isinstance(answer, MomentAnswer):
        return -answer.first_overlap, -answer.moments[0][3] if answer.moments else 0.0
    relevant = set(answer.relevant)
    scored = list(zip(answer.items, answer.scores, strict=True))
    right = [score for item, score in scored if item in relevant]
    wrong = [score for item, score in scored if item not in relevant]
    lowest = min(answer.scores, default=0.0)
    margin = max(wrong, default=lowest) - max(right, default=lowest)
    return float(answer.first_relevant_rank or len(scored) + 1), float(margin)


def _ranked_cards(answer: RankedAnswer, thumbnails: _Thumbnails) -> list[Card]:
    cards = [
        Card(f"{rank}. {score:.3f}", item, thumbnails.of(item), item in answer.relevant)
        for rank, (item, score) in enumerate(
            zip(answer.items[:ITEMS_SHOWN], answer.scores[:ITEMS_SHOWN], strict=True), 1
        )
    ]
    rank = answer.first_relevant_rank
    if (rank is None or rank > ITEMS_SHOWN) and answer.relevant:
        item = answer.relevant[0]
        cards.append(Card(EXPECTED, item, thumbnails.of(item), relevant=True))
    return cards


def _rank_note(answer: RankedAnswer) -> str:
    rank = answer.first_relevant_rank
    return f"rank {rank}" if rank else f"not among the first {len(answer.items)}"


def _moment_cards(answer: MomentAnswer, thumbnails: _Thumbnails) -> list[Card]:
    cards = []
    if answer.moments:
        video, start, end, score = answer.moments[0]
        span, relevant = (start, end), video == answer.video
        line = TimeLine(answer.duration_seconds, span, answer.windows) if relevant else None
        picture = thumbnails.of(video, span)
        cards.append(Card(f"1. {score:.3f}", video, picture, relevant, span, line))
    if answer.windows:
        span = answer.windows[0]
        line = TimeLine(answer.duration_seconds, None, answer.windows)
        picture = thumbnails.of(answer.video, span)
        cards.append(Card(EXPECTED, answer.video, picture, True, span, line))
    return cards


class _Thumbnails:
    """Thumbnails of items, each rendered once."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._rendered: dict[tuple[str, Span | None], str] = {}

    def of(self, item: str, span: Span | None = None) -> str:
        """Return a `data:` URI; empty if the item has no media file."""
        key = (item, span)
        if key not in self._rendered:
            self._rendered[key] = self._render(item, span)
        return self._rendered[key]

    def _render(self, item: str, span: Span | None) -> str:
        path = self._files.get(item)
        media = EXTENSIONS.get(extension(str(path)), ()) if path is not None else ()
        if path is None or not media:
            return ""
        start, end = span or (None, None)
        hit = Hit(1, 0.0, 0, path_to_uri(str(path)), media[0], media[0], start, end, "",
                  likely=True)  # fmt: skip
        return thumbnail(hit)
