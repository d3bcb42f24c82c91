"""The queries that a run answered best and worst, with pictures: what its figures are made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.results.figures import time_line
from benchmarks.results.outcome import Answers, MomentAnswer, RankedAnswer
from retrieval.gallery.page import as_text
from retrieval.gallery.thumbnails import thumbnail
from retrieval.localization.spans import Span
from retrieval.media.files import EXTENSIONS
from retrieval.media.names import extension, path_to_uri
from retrieval.types import Hit

SHOWN = 4
"""Queries of each kind."""

FOUND = 3
"""Items that are shown of what a query found."""


def examples(task: Answers) -> str:
    """Sections of HTML: the worst queries of a task, then the best ones."""
    pictures = _Pictures(task.files)
    ordered = sorted(task.answers, key=_badness, reverse=True)
    worst = ordered[:SHOWN]
    best = ordered[: len(worst) - 1 : -1][:SHOWN]  # none twice where there are few
    sections = []
    for kind, answers in (("worst", worst), ("best", best)):
        for answer in answers:
            if isinstance(answer, RankedAnswer):
                cards, note = _ranked(answer, pictures)
            else:
                cards, note = _moments(answer, pictures)
            sections.append(
                f"<section>\n<h2>{as_text(answer.query)}"
                f"<small>{as_text(f'{task.task}, among the {kind}: {note}')}</small></h2>\n"
                f'<div class="hits">\n{cards}\n</div>\n</section>'
            )
    return "\n".join(sections)


def _badness(answer: RankedAnswer | MomentAnswer) -> tuple[float, float]:
    """Rank or lack of overlap; then by how much the best wrong item outdoes the best right one."""
    if isinstance(answer, MomentAnswer):
        return -_first_overlap(answer), -answer.moments[0][3] if answer.moments else 0.0
    relevant = set(answer.relevant)
    scored = list(zip(answer.items, answer.scores, strict=True))
    right = [score for item, score in scored if item in relevant]
    wrong = [score for item, score in scored if item not in relevant]
    lowest = min(answer.scores, default=0.0)
    margin = max(wrong, default=lowest) - max(right, default=lowest)
    return float(answer.first_relevant_rank or len(scored) + 1), float(margin)


def _first_overlap(answer: MomentAnswer) -> float:
    return answer.overlaps[0] if answer.moments else 0.0


def _ranked(answer: RankedAnswer, pictures: _Pictures) -> tuple[str, str]:
    relevant = set(answer.relevant)
    cards = [
        _card(pictures.of(item), f"{rank}. {score:.3f}", item, right=item in relevant)
        for rank, (item, score) in enumerate(
            zip(answer.items[:FOUND], answer.scores[:FOUND], strict=True), 1
        )
    ]
    rank = answer.first_relevant_rank
    if (rank is None or rank > FOUND) and answer.relevant:
        item = answer.relevant[0]
        cards.append(_card(pictures.of(item), "should be found", item, right=True))
    note = f"rank {rank}" if rank else f"not among the first {len(answer.items)}"
    return "\n".join(cards), note


def _moments(answer: MomentAnswer, pictures: _Pictures) -> tuple[str, str]:
    cards = []
    if answer.moments:
        video, start, end, score = answer.moments[0]
        right = video == answer.video
        drawn = ""
        if right:
            drawn = time_line(answer.duration_seconds, (start, end), answer.windows)
        cards.append(
            _card(pictures.of(video, (start, end)), f"1. {score:.3f}", video, right=right,
                  span=(start, end), drawn=drawn)
        )  # fmt: skip
    if answer.windows:
        span = answer.windows[0]
        cards.append(
            _card(pictures.of(answer.video, span), "should be found", answer.video, right=True,
                  span=span, drawn=time_line(answer.duration_seconds, None, answer.windows))
        )  # fmt: skip
    return "\n".join(cards), f"IoU {_first_overlap(answer):.2f}"


def _card(
    picture: str, head: str, name: str, *, right: bool, span: Span | None = None, drawn: str = ""
) -> str:
    faded = "" if right else " unlikely"
    when = f'<span class="when">{span[0]:.1f}-{span[1]:.1f} s</span>' if span else ""
    image = f'<img alt="" src="{picture}">' if picture else ""
    return (
        f'<article class="hit{faded}">{image}<div><span class="score">{head}</span>{when}{drawn}'
        f'<p class="uri">{as_text(name)}</p></div></article>'
    )


class _Pictures:
    """Thumbnails of items by name, each made once."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._made: dict[tuple[str, Span | None], str] = {}

    def of(self, item: str, span: Span | None = None) -> str:
        """A `data:` URI; empty where the item has no file of a known kind."""
        if (item, span) not in self._made:
            self._made[item, span] = self._draw(item, span)
        return self._made[item, span]

    def _draw(self, item: str, span: Span | None) -> str:
        path = self._files.get(item)
        media = EXTENSIONS.get(extension(str(path)), ()) if path is not None else ()
        if path is None or not media:
            return ""
        start, end = span or (None, None)
        hit = Hit(1, 0.0, 0, path_to_uri(str(path)), media[0], media[0], start, end, "",
                  likely=True)  # fmt: skip
        return thumbnail(hit)
