"""Runs of a writer in a process of its own, and what they leave."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from store_samples import grow

from retrieval.store.verify import verify
from support.flaky_system import FlakySystem, use_system

ITEMS = 12
PROCESS = [sys.executable, str(Path(__file__).with_name("writer_process.py"))]


def run(root: Path, items: int = ITEMS, **options: object) -> subprocess.CompletedProcess[str]:
    arguments = [f"{name}={value}" for name, value in options.items()]
    command = [*PROCESS, str(root), str(items), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def steps_of_a_run(folder: Path, monkeypatch: pytest.MonkeyPatch, items: int = ITEMS) -> int:
    """How many steps an uninterrupted run takes on its way to the disk."""
    with monkeypatch.context() as patched:
        system = FlakySystem()
        use_system(system, patched.setattr)
        grow(folder, items, publish_every=6, index=True)
    return system.steps


def problems_without_collection(root: Path) -> list[str]:
    """What `verify` says; nothing where nothing was published yet."""
    return verify(root) if (root / "CURRENT").exists() else []
