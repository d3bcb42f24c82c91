"""The page of a collection, and a search of several."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from retrieval.progress import no_progress
from retrieval.store.lock import CollectionLock
from retrieval.store.writer_progress import PublishedProgress
from support import served_toys
from support.page_driver import TIMEOUT_MILLISECONDS, ask, names, parameters, settled
from support.page_server import page_server


def test_the_page_of_the_collection_shows_a_running_embed(page, toys) -> None:
    page.click("#about")
    page.wait_for_selector("#duplicates button")
    assert page.locator(".writer").count() == 0
    with (
        CollectionLock(toys[1]),
        PublishedProgress(toys[1], no_progress, lambda: (38, 2), total=100) as progress,
    ):
        progress("embedding", 40, None)
        page.wait_for_selector(".writer progress[value='40'][max='100']")
        assert page.inner_text(".writer strong") == "Embedding"
        assert page.inner_text(".writer span") == "40 of 100 · 38 items · 2 failed"
    page.wait_for_function("() => !document.querySelector('.writer')")


def test_the_page_of_the_collection(page) -> None:
    page.click("#about")
    page.wait_for_selector("#overview .tile")
    assert "8\nimages" in page.inner_text("#overview .tiles")
    page.wait_for_selector("#failures h2")
    page.click("#duplicates button")
    page.wait_for_function(
        "() => /groups|none/.test(document.querySelector('#duplicates [role=status]').textContent)"
    )
    page.go_back()
    page.wait_for_selector(".card")


def test_all_collections_are_searched_together(
    chromium, toys: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(toys[1], other)
    with pytest.MonkeyPatch.context() as patch:
        served_toys.use_toys_for_searching(patch.setattr)
        with page_server(toys[1], other, cache=tmp_path / "cache") as address:
            page = chromium.new_page()
            page.set_default_timeout(TIMEOUT_MILLISECONDS)
            page.goto(address)
            page.wait_for_selector(".card")
            alone = page.locator(".card").count()
            page.select_option("#collection", "*")
            page.wait_for_function(
                "count => document.querySelectorAll('.card').length > count", arg=alone
            )
            assert page.locator(".card").count() == 2 * alone  # the newest of both
            ask(page, "red")
            assert names(page)[:2] == ["red.png", "red.png"]
            assert parameters(page)["collection"] == ["*"]
            sources = page.locator(".card img").evaluate_all("all => all.map((one) => one.src)")
            assert {urlsplit(source).path.split("/")[2] for source in sources[:2]} == {
                "toys",
                "other",
            }
            page.locator(".card").nth(1).hover()
            page.locator(".card").nth(1).get_by_title("More like this").click()
            page.wait_for_function("() => new URLSearchParams(location.search).has('like')")
            settled(page)
            assert parameters(page)["collection"] == ["other"]
            page.close()
