"""One HTML file of answers: everything inline but the media themselves, and no script."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import quote

from retrieval.files.writing import write_atomically
from retrieval.gallery.curve import Curve, draw_curve
from retrieval.gallery.thumbnails import thumbnail
from retrieval.media.names import uri_to_path
from retrieval.types import Hit, Medium

FOOTER = (
    "Orange marks the moment found, green the true one where it is known. "
    "Faded hits look no better than chance."
)


@dataclass(frozen=True, slots=True)
class GallerySection:
    """One query's hits; `curves` are by rank, for hits inside a recording or video."""

    query: str
    hits: Sequence[Hit]
    note: str = ""
    curves: Mapping[int, Curve] = field(default_factory=dict)


def write_gallery(
    out: Path, sections: Sequence[GallerySection], *, title: str, footer: str = FOOTER
) -> None:
    """Write the page; media are linked relative to it.

    Raises:
        StorageError: The file cannot be written.
    """
    rendered = "\n".join(_section(section, out.absolute().parent) for section in sections)
    write_page(out, rendered, title, footer)


def write_page(out: Path, sections: str, title: str, footer: str) -> None:
    """Put finished sections of HTML into the frame that all pages share; `title` is plain text."""
    template = Template(files("retrieval.gallery").joinpath("page.html").read_text())
    page = template.substitute(title=as_text(title), sections=sections, footer=as_text(footer))
    with write_atomically(out) as file:
        file.write(page.encode())


def _section(section: GallerySection, base: Path) -> str:
    hits = "\n".join(_hit(hit, section.curves.get(hit.rank), base) for hit in section.hits)
    note = f"<small>{escape(section.note)}</small>" if section.note else ""
    return (
        f"<section>\n<h2>{as_text(section.query)}{note}</h2>\n"
        f'<div class="hits">\n{hits or "<p>no item matches</p>"}\n</div>\n</section>'
    )


def _hit(hit: Hit, curve: Curve | None, base: Path) -> str:
    faded = "" if hit.likely else " unlikely"
    when = ""
    drawn = ""
    if hit.start_seconds is not None and hit.end_seconds is not None:
        when = f'<span class="when">{hit.start_seconds:.1f}-{hit.end_seconds:.1f} s</span>'
        drawn = draw_curve(curve, hit.start_seconds, hit.end_seconds) if curve else ""
    caption = hit.metadata.get("caption")
    return (
        f'<article class="hit{faded}">{_player(hit, base)}<div>'
        f'<span class="score">{hit.rank}. {hit.score:.3f}</span>{when}'
        f"{drawn}"
        + (f'<p class="caption">{as_text(str(caption))}</p>' if caption else "")
        + f'<p class="uri">{as_text(hit.uri)}</p></div></article>'
    )


def _player(hit: Hit, base: Path) -> str:
    picture = thumbnail(hit)
    source = media_link(hit, base)
    if hit.modality is Medium.VIDEO:
        return f'<video controls preload="none" poster="{picture}" src="{source}"></video>'
    if hit.modality is Medium.AUDIO:
        return (
            f'<img loading="lazy" alt="" src="{picture}">'
            f'<audio controls preload="none" src="{source}"></audio>'
        )
    return f'<img loading="lazy" alt="" src="{picture}">'


def media_link(hit: Hit, base: Path) -> str:
    """A relative link to the file, with the span as a media fragment: `a.mp4#t=12.0,34.5`."""
    relative = os.path.relpath(uri_to_path(hit.uri), base)
    link = quote(os.fsencode(relative), safe="/")
    # A name that begins with a dash or holds a colon must not read as an option or a scheme.
    link = link if link.startswith("../") else f"./{link}"
    if hit.start_seconds is None or hit.end_seconds is None:
        return escape(link)
    return escape(f"{link}#t={hit.start_seconds:.1f},{hit.end_seconds:.1f}")


def as_text(text: str) -> str:
    """Text as text, whatever it holds; lone surrogates, which no page can hold, are replaced."""
    return escape(text.encode("utf-8", "replace").decode())
