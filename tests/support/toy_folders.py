"""Toy encoders for automatic collections in a data directory of the test."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import retrieval.automatic.folder
from retrieval.embedding.options import EmbedOptions
from support import embed_process
from support.toy_encoder import ToyEncoder


def use_toy_folders(monkeypatch: pytest.MonkeyPatch, data: Path) -> list[int]:
    """Embed media folders by toys, without decoding processes.

    Returns:
        The number of pictures of every call of an encoder.
    """
    embed_process.use_toys(monkeypatch.setattr)
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    monkeypatch.setattr(retrieval.automatic.folder, "DEFAULT_MODEL", "toy:toy")
    monkeypatch.setattr(
        retrieval.automatic.folder, "EmbedOptions", partial(EmbedOptions, workers=0)
    )
    calls: list[int] = []
    encode = ToyEncoder.encode_images

    def counted(self, pixels):
        calls.append(len(pixels))
        return encode(self, pixels)

    monkeypatch.setattr(ToyEncoder, "encode_images", counted)
    return calls
