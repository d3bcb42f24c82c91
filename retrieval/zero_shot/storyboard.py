"""Writes a storyboard as one HTML file: a picture or frame for each sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from retrieval.gallery.page import GallerySection, media_link, write_page
from retrieval.gallery.thumbnails import thumbnail
from retrieval.types import Hit
from retrieval.zero_shot.illustration import Illustration

FOOTER = "Each sentence has a close picture or frame; neighbours do not show the same."


def write_storyboard(out: Path, illustrations: Sequence[Illustration], *, title: str) -> None:
    """Write the page. Videos are linked relative to it and start at the frame.

    Raises:
        StorageError: The file cannot be written.
    """
    hits = [
        replace(each.hit, likely=True, metadata={"caption": each.sentence})
        for each in illustrations
    ]
    write_page(
        out,
        "gallery.html",
        title=title,
        footer=FOOTER,
        sections=[GallerySection("", hits)],
        folder=out.absolute().parent,
        thumbnail=_frame_thumbnail,
        media_link=media_link,
        time_format="{:.1f} s",
    )


def _frame_thumbnail(hit: Hit) -> str:
    return thumbnail(replace(hit, end_seconds=hit.start_seconds))
