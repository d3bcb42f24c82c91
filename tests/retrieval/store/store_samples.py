"""Deterministic items and a writer of them, also for processes that are killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.types import (
    AudioWindows,
    EmbeddedItem,
    Frames,
    MediaInfo,
    Medium,
    Segments,
    Sidecar,
    Space,
    TextSource,
    TimedText,
)

PICTURES = Space("pictures-00000001", "tiny-image", 8, (Medium.IMAGE, Medium.VIDEO), "0" * 64)
SOUND = Space(
    "sound-00000002", "tiny-music", 4, (Medium.AUDIO,), "1" * 64, windows=AudioWindows(16_000)
)


def unit(rows: int, dim: int, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def segments(medium: Medium, rows: int, dim: int, seed: int) -> Segments:
    """Spans of two seconds from 0, or no times for images."""
    start = np.arange(rows, dtype=np.float32) * 2
    if medium is Medium.IMAGE:
        start = np.full(rows, np.nan, np.float32)
    return Segments([medium] * rows, start, start + 2, unit(rows, dim, seed))


def item(number: int, /, **columns: Any) -> EmbeddedItem:
    """By turns an image, a recording of 3 windows, and a video of 2 segments with 8 frames."""
    modality = tuple(Medium)[number % 3]
    rows = {PICTURES.name: segments(Medium.IMAGE, 1, 8, number), SOUND.name: nothing(4)}
    frames = {}
    if modality is Medium.AUDIO:
        rows = {PICTURES.name: nothing(8), SOUND.name: segments(Medium.AUDIO, 3, 4, number)}
    if modality is Medium.VIDEO:
        rows[PICTURES.name] = segments(Medium.VIDEO, 2, 8, number)
        seconds = np.arange(8, dtype=np.float32) / 2
        frames[PICTURES.name] = Frames(seconds, unit(8, 8, number + 1000))
    info = MediaInfo(
        uri=f"/media/{number:04d}",
        modality=modality,
        bytes=1000 + number,
        mtime=1.7e9 + number / 3,
        sha256=f"{number:064x}",
        columns=columns or {"number": number},
        texts=tuple(texts(number)),
        sidecars=(Sidecar(f"{number:04d}.srt", 90, 1.6e9),) if modality is Medium.VIDEO else (),
    )
    return EmbeddedItem(info, rows, frames)


def texts(number: int) -> Iterator[TimedText]:
    """A name for every item, and two cues for videos."""
    yield TimedText(TextSource.NAME, f"name {number}")
    if number % 3 == 2:
        yield TimedText(TextSource.TRANSCRIPT, f"hello {number}", 0.0, 1.5, "en")
        yield TimedText(TextSource.TRANSCRIPT, f"bye {number}", 1.5, 3.0, "en")


def nothing(dim: int) -> Segments:
    return segments(Medium.VIDEO, 0, dim, 0)


def grow(root: Path, items: int, *, publish_every: int, index: bool = False) -> None:
    """Embed what the collection lacks of the first items, and perhaps index it: as `embed` does."""
    with CollectionWriter.open(root, create=True) as writer:
        known = writer.snapshot.known_files() if writer.snapshot else {}
        if writer.snapshot is None:
            writer.add_space(PICTURES)
            writer.add_space(SOUND)
        for number in range(items):
            if f"/media/{number:04d}" not in known:
                writer.add(item(number))
            if number % publish_every == publish_every - 1:
                writer.publish()
        if index:
            with writer.index_folder(PICTURES.name) as folder:
                (folder / "exact.faiss").write_bytes(b"vectors" * 100)
                (folder / "card.json").write_bytes(b"{}")


def content(root: Path) -> list[tuple[object, ...]]:
    """Everything that a reader gets of a collection, comparable with ==."""
    snapshot = Snapshot.open(root)
    rows: list[tuple[object, ...]] = [
        tuple(row.items()) for batch in snapshot.iter_items() for row in batch.to_pylist()
    ]
    rows += [tuple(row.items()) for batch in snapshot.texts() for row in batch.to_pylist()]
    rows += list(snapshot.sidecars().items())
    for space in snapshot.spaces:
        for block in snapshot.iter_segments(space.name):
            times = np.nan_to_num(block.start_seconds, nan=-1).tolist()
            rows += zip(
                block.item_ids.tolist(),
                block.media.tolist(),
                times,
                map(tuple, block.vectors.tolist()),
                strict=True,
            )
        for item_id in snapshot.item_ids().tolist():
            frames = snapshot.item_frames(space.name, item_id)
            if frames is not None:
                rows.append((item_id, *frames.seconds.tolist(), frames.vectors.tobytes()))
    return rows


def leftovers(root: Path) -> list[str]:
    """Files that no current generation lists, the lock aside."""
    manifest = Snapshot.open(root).manifest
    listed = {file.path for file in manifest.files} | {"CURRENT", ".lock"}
    listed |= {f"manifests/{number:06d}.json" for number in range(1, manifest.generation + 1)}
    files = [str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()]
    return sorted(set(files) - listed)
