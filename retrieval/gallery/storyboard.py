"""Writes a storyboard as one HTML file: a picture or frame for each sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from retrieval.gallery.page import Card, CardSection, media_link, write_cards
from retrieval.gallery.thumbnails import thumbnail
from retrieval.types import Medium
from retrieval.zero_shot.illustration import Illustration

FOOTER = "Each sentence has a close picture or frame; neighbours do not show the same."


def write_storyboard(out: Path, illustrations: Sequence[Illustration], *, title: str) -> None:
    """Write the page. Videos are linked relative to it and start at the frame.

    Raises:
        StorageError: The file cannot be written.
    """
    folder = out.absolute().parent
    cards = [_card(illustration, folder) for illustration in illustrations]
    write_cards(out, [CardSection(cards)], title=title, footer=FOOTER)


def _card(illustration: Illustration, folder: Path) -> Card:
    hit = illustration.hit
    return Card(
        rank=hit.rank,
        score=hit.score,
        modality=hit.modality,
        uri=hit.uri,
        picture=thumbnail(replace(hit, end_seconds=hit.start_seconds)),  # the chosen frame
        link=media_link(hit, folder) if hit.modality is Medium.VIDEO else "",
        caption=illustration.sentence,
        time="" if hit.start_seconds is None else f"{hit.start_seconds:.1f} s",
    )
