"""Draws the pictures of docs/serving.md: `make screenshots` serves the demo world to Chromium."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import retrieval
from retrieval.demo.world import WorldSettings, write_world
from retrieval.embedding.options import EmbedOptions
from support.browser import find_browser
from support.page_server import page_server

FOLDER = Path(__file__).parents[2] / "docs" / "images"
WORLD = WorldSettings(
    seed=7, images=60, tunes=8, videos=6, video_seconds=(20.0, 30.0), tune_seconds=(8.0, 24.0)
)
SIZE = {"width": 1280, "height": 860}
PICTURES = {
    "serve-results.png": ("?q=a+pink+hexagon", ".card .line"),
    "serve-moment.png": ("?q=a+pink+hexagon&to=moment", "#viewer .seek .line"),
}


def draw(address: str) -> None:
    """Write the pictures of the page at an address."""
    found = find_browser()
    if found is None:
        sys.exit("no Chromium here; install it to draw the pictures")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found.path, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        for name, (query, complete) in PICTURES.items():
            page.goto(address + query)
            page.wait_for_selector(".card")
            if "#viewer" in complete:
                page.click(".card.video a.open")
            page.wait_for_selector(complete)
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(1_000)
            page.screenshot(path=FOLDER / name)
        browser.close()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        world = Path(temporary) / "world"
        write_world(world, WORLD)
        root = Path(temporary) / "demo"
        opened = retrieval.Collection(root)
        opened.add(world, options=EmbedOptions(models=("tiny",)))
        opened.index()
        with page_server(root, cache=Path(temporary) / "cache") as page_address:
            draw(page_address)
