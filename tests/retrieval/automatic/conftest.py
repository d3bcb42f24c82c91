"""Media folders whose automatic collections are embedded by toy encoders."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.toy_folders import use_toy_folders
from support.toy_runs import COLOURS, pictures


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """Toy encoders and an empty data directory; the numbers of pictures of every call."""
    return use_toy_folders(monkeypatch, tmp_path / "data")


@pytest.fixture
def media(tmp_path: Path, encoded: list[int]) -> Path:
    """red.png, green.png, blue.png and yellow.png."""
    return pictures(tmp_path / "media", *COLOURS)
