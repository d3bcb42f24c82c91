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
from retrieval.gallery.templates import PACKAGE, render
from retrieval.gallery.thumbnails import thumbnail
from retrieval.media.names import uri_to_path
from retrieval.types import Hit, TextMatch

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


def write_gallery(
    out: Path, sections: Sequence[GallerySection], *, title: str, footer: str = FOOTER
) -> None:
    """Write the hits of some queries as a page.

    Raises:
        StorageError: The file cannot be written.
    """
    write_page(
        out,
        "gallery.html",
        title=title,
        footer=footer,
        sections=sections,
        folder=out.absolute().parent,
        thumbnail=thumbnail,
        media_link=media_link,
        draw_curve=draw_curve,
        marked=marked,
        time_format="{:.1f}-{:.1f} s",
    )


def write_page(out: Path, template: str = "page.html", **values: object) -> None:
    """Render a template of this package into a file.

    Args:
        out: The file.
        template: `page.html` takes `title`, `footer` and, as `Markup`, `content`.
        values: Variables of the template; they are escaped unless they are `Markup`.

    Raises:
        StorageError: The file cannot be written.
    """
    page = render(template, package=PACKAGE, **values)
    with write_atomically(out) as file:
        file.write(page.encode("utf-8", "replace"))  # texts may hold lone surrogates


def media_link(hit: Hit, folder: Path) -> str:
    """Return a relative link to the file, with its span as a fragment: `./a.mp4#t=12.0,34.5`."""
    relative = os.path.relpath(uri_to_path(hit.uri), folder)
    link = quote(os.fsencode(relative), safe="/")
    # Without ./ a name may read as a URL scheme or, copied to a command, as an option.
    link = link if link.startswith("../") else f"./{link}"
    if hit.start_seconds is None or hit.end_seconds is None:
        return link
    return f"{link}#t={hit.start_seconds:.1f},{hit.end_seconds:.1f}"


def marked(match: TextMatch) -> Markup:
    """Return the matching text as HTML, escaped, with its words in `<mark>`."""
    parts, end = [], 0
    for first, last in match.marks:
        parts += [as_text(match.text[end:first]), f"<mark>{as_text(match.text[first:last])}</mark>"]
        end = last
    return Markup("".join([*parts, as_text(match.text[end:])]))


def as_text(text: str) -> str:
    """Escape text for HTML; lone surrogates are replaced."""
    return str(Markup.escape(text.encode("utf-8", "replace").decode()))
