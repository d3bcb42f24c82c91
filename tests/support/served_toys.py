"""A collection of small real media, embedded by toys, and the application that serves it."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from retrieval.embedding.options import EmbedOptions
from retrieval.embedding.run import embed
from retrieval.encoders.catalogue import load_encoder
from retrieval.protocols import Encoder
from retrieval.serving.access import Access
from retrieval.serving.app import create_app
from retrieval.serving.disk_cache import DiskCache
from retrieval.serving.library import Library
from retrieval.serving.services import Services
from retrieval.store.reader import Snapshot
from support.embed_process import TOYS
from support.media_files import make_tone, sound_bytes, write_video
from support.toy_encoder import COLOURS

PORT = 8_000
HOST = f"127.0.0.1:{PORT}"


def write_media(folder: Path) -> Path:
    """Write seven pictures, a recording, a video that changes from dark to light, and a tar."""
    (folder / "below").mkdir(parents=True)
    for colour in COLOURS:
        place = folder / "below" if colour in ("white", "black") else folder
        Image.new("RGB", (64, 48), colour).save(place / f"{colour}.png")
    (folder / "low.wav").write_bytes(sound_bytes(make_tone(4, 8_000, 110.0), 8_000))
    write_video(folder / "film.mp4", [0] * 20 + [255] * 20, sound=make_tone(4, 16_000, 1_760.0))
    packed = folder / "packed.png"
    Image.new("RGB", (32, 32), (250, 10, 10)).save(packed)
    with tarfile.open(folder / "some.tar", "w") as tar:
        tar.add(packed, "in tar/scarlet.png")
    packed.unlink()
    return folder


def embed_toys(folder: Path, root: Path, patch) -> Path:
    """Embed a folder with the toy encoders."""
    from support import embed_process

    embed_process.use_toys(patch)
    options = EmbedOptions(models=tuple(TOYS), workers=0)
    embed([folder], root, options)
    return root


def use_toys_for_searching(patch) -> None:
    """Let collections find the toy encoders too; `patch(name, value)` sets an attribute."""

    def load(spec: str, **options: Any) -> Encoder:
        return TOYS[spec] if spec in TOYS else load_encoder(spec, **options)

    patch("retrieval.search.open_collection.load_encoder", load)


def ids_by_name(root: Path) -> dict[str, int]:
    """Return the ids of the items by the last part of their path."""
    known = Snapshot.open(root).known_files()
    return {uri.rpartition("/")[2]: file.item_id for uri, file in known.items()}


@contextmanager
def served(
    *roots: Path, cache: Path, access: Access | None = None, cache_bytes: int = 1 << 20
) -> Iterator[tuple[TestClient, Services]]:
    """Serve collections in this process, to a client that has the token of programs."""
    access = access or Access(PORT, bearer="programs' token of tests")
    services = Services(Library(roots, device="cpu"), cache=DiskCache(cache, cache_bytes))
    services.library.load()
    headers = {"authorization": f"Bearer {access.bearer}"} if access.bearer else {}
    app = create_app(services, access)
    with TestClient(app, f"http://{HOST}", headers=headers, follow_redirects=False) as client:
        yield client, services


def noise_picture(side: int, seed: int = 0) -> Image.Image:
    """Make a picture that no codec shrinks much."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)
