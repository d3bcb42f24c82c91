"""Runs of `embed` over small pictures, by toy encoders that count what they embed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval.embedding.options import EmbedOptions, EmbedReport
from retrieval.embedding.run import embed
from support import embed_process
from support.toy_encoder import ToyEncoder
from support.toy_runs import COLOURS, pictures


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Toy encoders; the numbers of pictures of every call."""
    embed_process.use_toys(monkeypatch.setattr)
    calls: list[int] = []
    encode = ToyEncoder.encode_images

    def counted(self, pixels):
        calls.append(len(pixels))
        return encode(self, pixels)

    monkeypatch.setattr(ToyEncoder, "encode_images", counted)
    return calls


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """red.png, green.png, blue.png and yellow.png."""
    return pictures(tmp_path / "media", *COLOURS)


@pytest.fixture
def run(tmp_path: Path, encoded: list[int]) -> Callable[..., EmbedReport]:
    """Embeds sources into one collection."""

    def embed_them(*sources: object, **options: object) -> EmbedReport:
        given = {"models": ("toy:toy",), "workers": 0} | options
        return embed(sources, tmp_path / "c", EmbedOptions(**given))  # type: ignore[arg-type]

    return embed_them
