"""Chromium without a window, as a command: screenshots and documents of pages."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip
TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Browser:
    """An executable of Chromium."""

    path: str

    def screenshot(self, page: Path, size: tuple[int, int]) -> NDArray[np.int64]:
        """Return the pixels of a page in a window of (width, height): (height, width, 3)."""
        shot = page.with_suffix(".png")
        self._run(f"--window-size={size[0]},{size[1]}", f"--screenshot={shot}", page.as_uri())
        return np.asarray(Image.open(shot).convert("RGB")).astype(np.int64)

    def document(self, page: Path) -> str:
        """Return the HTML of a page after it was loaded."""
        return self._run("--dump-dom", page.as_uri())

    def _run(self, *arguments: str) -> str:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            command = [self.path, *OPTIONS, f"--user-data-dir={profile}", *arguments]
            done = subprocess.run(command, check=True, capture_output=True, text=True,
                                  timeout=TIMEOUT_SECONDS)  # fmt: skip
        return done.stdout


def find_browser() -> Browser | None:
    """Return the Chromium of this machine, if there is one."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    return None if path is None else Browser(path)
