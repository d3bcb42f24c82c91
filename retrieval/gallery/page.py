"""Writes search results as one HTML file without scripts; only the media are linked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from retrieval.files.writing import write_atomically
from retrieval.gallery.curve import Curve, draw_curve
from retrieval.gallery.templates import render
from retrieval.gallery.thumbnails import thumbnail
from retrieval.media.files import uri_to_path
from retrieval.types import Hit, Medium

FOOTER = (
    "Orange marks the moment found, green the true one where it is known. "
    "Faded hits look no better than chance."
)


@dataclass(frozen=True, slots=True)
class GallerySection:
    """One query's hits.

    Attributes:
        curves: By rank, for hits inside a recording or video.
    """

    query: str
    hits: Sequence[Hit]
    note: str = ""
    curves: Mapping[int, Curve] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Card:
    """One hit as the template `cards.html` shows it.

    Attributes:
        picture: `data:` URI.
        link: Relative link to the file.
        time: Span or instant within the item.
        curve: SVG element, as `Markup`.
    """

    rank: int
    score: float
    modality: Medium
    uri: str
    picture: str
    link: str
    caption: str = ""
    time: str = ""
    curve: str = ""
    likely: bool = True


@dataclass(frozen=True, slots=True)
class CardSection:
    """A group of cards under an optional heading."""

    cards: Sequence[Card]
    heading: str = ""
    note: str = ""


def write_gallery(
    out: Path, sections: Sequence[GallerySection], *, title: str, footer: str = FOOTER
) -> None:
    """Write the hits of some queries as a page.

    Raises:
        StorageError: The file cannot be written.
    """
    folder = out.absolute().parent
    card_sections = [
        CardSection(
            [_card(hit, section.curves.get(hit.rank), folder) for hit in section.hits],
            section.query,
            section.note,
        )
        for section in sections
    ]
    write_cards(out, card_sections, title=title, footer=footer)


def write_cards(out: Path, sections: Sequence[CardSection], *, title: str, footer: str) -> None:
    """Write sections of cards as a page.

    Raises:
        StorageError: The file cannot be written.
    """
    _write(out, render("cards.html", sections=sections, title=title, footer=footer))


def write_page(out: Path, content: str, title: str, footer: str) -> None:
    """Write a page with the given HTML as its content; `title` and `footer` are plain text.

    Raises:
        StorageError: The file cannot be written.
    """
    _write(out, render("page.html", content=Markup(content), title=title, footer=footer))


def _write(out: Path, page: str) -> None:
    with write_atomically(out) as file:
        file.write(page.encode("utf-8", "replace"))  # texts may hold lone surrogates


def _card(hit: Hit, curve: Curve | None, folder: Path) -> Card:
    time, drawing = "", ""
    if hit.start_seconds is not None and hit.end_seconds is not None:
        time = f"{hit.start_seconds:.1f}-{hit.end_seconds:.1f} s"
        drawing = draw_curve(curve, hit.start_seconds, hit.end_seconds) if curve else ""
    return Card(
        rank=hit.rank,
        score=hit.score,
        modality=hit.modality,
        uri=hit.uri,
        picture=thumbnail(hit),
        link=media_link(hit, folder),
        caption=str(hit.metadata.get("caption") or ""),
        time=time,
        curve=drawing,
        likely=hit.likely,
    )


def media_link(hit: Hit, folder: Path) -> str:
    """Return a relative link to the file, with its span as a fragment: `./a.mp4#t=12.0,34.5`."""
    relative = os.path.relpath(uri_to_path(hit.uri), folder)
    link = quote(os.fsencode(relative), safe="/")
    # Without ./ a name may read as a URL scheme or, copied to a command, as an option.
    link = link if link.startswith("../") else f"./{link}"
    if hit.start_seconds is None or hit.end_seconds is None:
        return link
    return f"{link}#t={hit.start_seconds:.1f},{hit.end_seconds:.1f}"


def as_text(text: str) -> str:
    """Escape text for HTML; lone surrogates are replaced."""
    return str(Markup.escape(text.encode("utf-8", "replace").decode()))
