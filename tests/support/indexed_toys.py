"""A small collection of pictures and videos as toys, grown and indexed step by step."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.card import IndexCard
from retrieval.search.indexing.request import IndexRequest
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, Frames, MediaInfo, Medium, Segments, Space
from support.messages import logged
from support.toy_encoder import ToyEncoder

DIM = 32
ENCODER = ToyEncoder()
PICTURES = Space(
    "toy-00000001", ENCODER.spec, DIM, (Medium.IMAGE, Medium.VIDEO), ENCODER.digest
)  # fmt: skip
SOUND = Space("toy-music-00000002", "toy:toy-music", DIM, (Medium.AUDIO,), "1" * 64)
PICTURE_ROWS = 30 + 30 * 4
"""Of `grow(60)`: every second item is a picture, the others videos of four segments."""


def unit(rows: int, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((rows, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def segments(medium: Medium, rows: int, seed: int) -> Segments:
    starts = np.arange(rows, dtype=np.float32) * 2
    if medium is Medium.IMAGE:
        starts = np.full(rows, np.nan, np.float32)
    return Segments([medium] * rows, starts, starts + 2, unit(rows, seed))


def item(number: int) -> EmbeddedItem:
    medium = Medium.VIDEO if number % 2 else Medium.IMAGE
    rows = 4 if medium is Medium.VIDEO else 1
    vectors = segments(medium, rows, number)
    frames = {PICTURES.name: Frames(np.arange(8) / np.float32(2), unit(8, number))}
    info = MediaInfo(
        f"/media/{number}", medium, 1, 0.0, f"{number:064x}", columns={"number": number}
    )
    return EmbeddedItem(
        info,
        {PICTURES.name: vectors, SOUND.name: segments(Medium.AUDIO, 0, 0)},
        frames if medium is Medium.VIDEO else {},
    )


def grow(root: Path, first: int, last: int) -> None:
    with CollectionWriter.open(root, create=True) as writer:
        if writer.snapshot is None:
            writer.add_space(PICTURES)
            writer.add_space(SOUND)
        for number in range(first, last):
            writer.add(item(number))


def built(
    root: Path, kind: str | None = None, *, device: str = "cpu"
) -> tuple[dict[str, IndexCard], list[str]]:
    """The newest part's card of each space, and the messages."""
    request = None if kind is None else IndexRequest(kind)
    with logged("retrieval") as lines:
        cards = build_index(root, request=request, device=device, encoders=lambda _: ENCODER)
    return {card.space: card for card in cards}, lines


def folder_of(root: Path, space: Space = PICTURES) -> Path:
    """The folder of the newest part."""
    return Snapshot.open(root).index_folders(space.name)[-1]


def sixty_items(root: Path) -> Path:
    """60 items in two shards, two of them removed."""
    grow(root, 0, 25)
    grow(root, 25, 60)
    with CollectionWriter.open(root) as writer:
        writer.remove([0, 31])
    return root
