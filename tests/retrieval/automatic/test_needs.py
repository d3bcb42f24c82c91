"""Which files and encoders a query needs."""

import pytest

from retrieval.automatic.needs import Needs
from retrieval.search.query import Query, Term
from retrieval.targets import Target
from retrieval.types import Medium

IMAGE, AUDIO, VIDEO = Medium.IMAGE, Medium.AUDIO, Medium.VIDEO
ENDINGS = ("jpg", "webp", "mp3", "mp4", "tar")


def needed(needs: Needs) -> dict[str, set[Medium]]:
    """The needed media of each ending that is needed at all."""
    found = {name: set(needs.media_of([name])) for name in ENDINGS}
    return {name: media for name, media in found.items() if media}


@pytest.mark.parametrize(
    ("to", "wanted"),
    [
        ([], {"jpg": {IMAGE}, "webp": {IMAGE, VIDEO}, "mp3": {AUDIO}, "mp4": {AUDIO, VIDEO}}),
        ([Target.IMAGE], {"jpg": {IMAGE}, "webp": {IMAGE}}),
        ([Target.MUSIC], {"mp3": {AUDIO}, "mp4": {AUDIO}}),
        ([Target.VIDEO], {"webp": {VIDEO}, "mp4": {AUDIO, VIDEO}}),
        ([Target.MOMENT], {"webp": {VIDEO}, "mp3": {AUDIO}, "mp4": {AUDIO, VIDEO}}),
    ],
)
def test_targets_need_files_by_their_endings(to: list[Target], wanted: dict) -> None:
    found = needed(Needs.of(to))
    tar = found.pop("tar")
    assert found == wanted
    assert tar == set(Needs.of(to).media)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("a.jpg", {"jpg": {IMAGE}, "webp": {IMAGE, VIDEO}, "mp4": {VIDEO}, "tar": {IMAGE, VIDEO}}),
        ("a.tar!b.wav", {"mp3": {AUDIO}, "mp4": {AUDIO}, "tar": {AUDIO}}),
    ],
)
def test_a_file_needs_what_it_can_be_compared_with(path: str, wanted: dict) -> None:
    query = Query((Term(path=path), Term(text="red", weight=0.5)))
    assert needed(Needs.of((), query)) == wanted


def test_a_query_that_finds_nothing_needs_what_its_targets_need() -> None:
    assert Needs.of([Target.MUSIC], Query((Term(path="a.jpg"),))) == Needs.of([Target.MUSIC])


def test_needs_are_ordered_and_joined() -> None:
    image, music = Needs.of([Target.IMAGE]), Needs.of([Target.MUSIC])
    assert Needs() >= image | music >= music
    assert not image >= music
