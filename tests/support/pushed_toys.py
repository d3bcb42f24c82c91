"""A collection of three spaces with columns of every type, and places to push it to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from retrieval.collection import Collection
from retrieval.engines.qdrant.address import QdrantAddress
from retrieval.engines.qdrant.generations import collections
from retrieval.engines.qdrant.pushed import PushedCollection, open_pushed
from retrieval.engines.qdrant.server import QdrantServer
from retrieval.search.indexing.build import build_index
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, Frames, MediaInfo, Medium, Scalar, Segments, Space
from support.indexed_toys import unit
from support.toy_encoder import ToyEncoder

DIM = 32
VISUAL = (Medium.IMAGE, Medium.VIDEO)
ENCODERS = {
    "first-00000001": ToyEncoder(name="first"),
    "second-00000002": ToyEncoder(name="second", dim=DIM),
    "sound-00000003": ToyEncoder.music("sound"),
}
SPACES = [
    Space(name, encoder.spec, encoder.dim, encoder.media, f"{number}" * 64)
    for number, (name, encoder) in enumerate(ENCODERS.items())
]
FIRST, SECOND, SOUND = SPACES
MODALITIES = (Medium.IMAGE, Medium.VIDEO, Medium.AUDIO)


def columns(number: int) -> dict[str, Scalar]:
    """Values of every type; some are null."""
    rng = np.random.default_rng(number)
    values: dict[str, Scalar] = {
        "number": number,
        "price": float(rng.integers(0, 40)) / 4,
        "name": f"name {number % 13}",
        "flag": bool(number % 3),
        "taken": datetime(2020, 1, 1 + number % 28, number % 24, 30, tzinfo=UTC),
        "day": date(2021, 1 + number % 12, 1 + number % 28),
        "odd name.x": number % 7,
        "medium": "vinyl" if number % 2 else "tape",
        "start_seconds": number % 5,
    }
    kept = {name: value for name, value in values.items() if rng.random() > 0.2}
    return {"number": number, "price": values["price"], **kept}


def segments(media: list[Medium], starts: list[float], seconds: float, seed: int) -> Segments:
    """Rows of random directions; an image has no times."""
    times = np.array(starts, np.float32)
    ends = times + np.float32(seconds)
    return Segments(media, times, ends, unit(len(media), seed))


def item(number: int, *, version: int = 0) -> EmbeddedItem:
    """A picture, a video with sound or a recording, by turns."""
    modality = MODALITIES[number % 3]
    seed = 10 * number
    nothing = segments([], [], 0, 0)
    rows = {space.name: nothing for space in SPACES}
    frames = {}
    count = 2 + number % 3
    starts = [2.0 * n for n in range(count)]
    if modality is Medium.IMAGE:
        for add, space in enumerate((FIRST, SECOND)):
            rows[space.name] = segments([Medium.IMAGE], [np.nan], 0, seed + add)
    elif modality is Medium.VIDEO:
        # The second space has longer segments, which start at the same times.
        rows[FIRST.name] = segments([Medium.VIDEO] * count, starts, 2, seed)
        rows[SECOND.name] = segments([Medium.VIDEO] * count, starts, 3 - number % 2, seed + 1)
        frames[FIRST.name] = Frames(np.arange(8) / np.float32(2), unit(8, seed + 3))
    if modality is not Medium.IMAGE:
        rows[SOUND.name] = segments([Medium.AUDIO] * count, starts, 2, seed + 2)
    info = MediaInfo(
        f"/media/{number}", modality, 1, float(version), f"{number:064x}",
        caption=f"caption {number}", columns=columns(number) | {"version": version},
    )  # fmt: skip
    return EmbeddedItem(info, rows, frames)


def write(root: Path, numbers: range) -> None:
    """Add items to a collection, which is made where there is none."""
    with CollectionWriter.open(root, create=True) as writer:
        if writer.snapshot is None:
            for space in SPACES:
                writer.add_space(space)
        for number in numbers:
            writer.add(item(number))


def remove(root: Path, ids: list[int]) -> None:
    with CollectionWriter.open(root) as writer:
        writer.remove(ids)


def toys(root: Path, count: int = 60, *, index: bool = True) -> Path:
    """A collection of some items, a few of them removed."""
    write(root, range(count))
    if index:
        build_index(root, encoders=lambda space: ENCODERS[space.name], device="cpu")
    remove(root, [3, 7, count - 2] if count > 12 else [3])
    return root


def opened(root: Path) -> Collection:
    """Open the collection with its encoders."""
    collection = Collection(root, device="cpu")
    collection._encoders = dict(ENCODERS)
    return collection


@contextmanager
def searched(address: str, **options: Any) -> Iterator[PushedCollection]:
    """Open a pushed collection with the encoders."""
    with open_pushed(address, device="cpu", **options) as pushed:
        pushed._source._encoders = dict(ENCODERS)
        yield pushed


def server_address() -> str:
    """Address of a real server for one test, with a name that no other test has."""
    url = os.environ.get("QDRANT_URL")
    if not url:
        reason = "QDRANT_URL is not set: no Qdrant server here"
        if os.environ.get("REQUIRE_QDRANT") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    scheme, _, rest = url.partition("://")
    secure = "qdrants" if scheme in ("https", "qdrants") else "qdrant"
    return f"{secure}://{rest.strip('/')}/test-{uuid4().hex[:12]}"


def delete_pushed(address: str) -> None:
    """Delete the collections of a test from a real server."""
    place = QdrantAddress.parse(address)
    with QdrantServer(place) as server:
        for name in collections(server):
            if name.startswith(f"{place.name}-"):
                server.call("delete_collection", name)
