"""A storyboard as one HTML file: each sentence below what shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from retrieval.gallery.page import as_text, media_link, write_page
from retrieval.gallery.thumbnails import thumbnail
from retrieval.types import Hit, Medium
from retrieval.zero_shot.illustration import Scene

FOOTER = "Each sentence has a close picture or frame; neighbours do not show the same."


def write_storyboard(out: Path, scenes: Sequence[Scene], *, title: str) -> None:
    """Write the page; videos are linked relative to it and start at the frame.

    Raises:
        StorageError: The file cannot be written.
    """
    base = out.absolute().parent
    shown = "\n".join(_scene(scene, base) for scene in scenes)
    write_page(out, f'<section>\n<div class="hits">\n{shown}\n</div>\n</section>', title, FOOTER)


def _scene(scene: Scene, base: Path) -> str:
    hit = scene.hit
    when = ""
    if hit.start_seconds is not None:
        when = f'<span class="when">{hit.start_seconds:.1f} s</span>'
    return (
        f'<article class="hit">{_picture(hit, base)}<div>'
        f'<span class="score">{hit.rank}. {hit.score:.3f}</span>{when}'
        f'<p class="caption">{as_text(scene.sentence)}</p>'
        f'<p class="uri">{as_text(hit.uri)}</p></div></article>'
    )


def _picture(hit: Hit, base: Path) -> str:
    picture = thumbnail(replace(hit, end_seconds=hit.start_seconds))  # the very frame
    if hit.modality is not Medium.VIDEO:
        return f'<img loading="lazy" alt="" src="{picture}">'
    return (
        f'<video controls preload="none" poster="{picture}" src="{media_link(hit, base)}"></video>'
    )
