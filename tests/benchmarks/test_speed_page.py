"""The time until the page shows hits, measured in Chromium."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.speed import serve_page
from retrieval.collection import Collection
from support.browser import Browser
from support.messages import logged
from support.page_server import page_server

pytestmark = pytest.mark.long


def test_the_page_is_measured_from_the_answer_on(
    browser: Browser, indexed: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("playwright.sync_api")
    monkeypatch.setattr(serve_page, "TURNS", 3)
    with page_server(indexed.root, cache=tmp_path) as address:
        results = serve_page.page_results(urlsplit(address).port or 0, 24)
    hits, pictures, first_hits, first_pictures = (result.value or 0.0 for result in results)
    assert 0 < hits <= pictures
    assert 0 < first_hits <= first_pictures
    assert [result.goal for result in results] == [300.0, None, 300.0, None]


def test_without_a_browser_a_notice_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with logged("benchmarks") as lines:
        assert serve_page.page_results(1, 24) == []
    assert lines == ["the page is not measured: install playwright"]
