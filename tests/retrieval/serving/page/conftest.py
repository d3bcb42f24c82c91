"""The page, driven in Chromium. It shows a collection of toys: "red" finds the red picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import served_toys
from support.browser import Browser
from support.page_driver import TIMEOUT_MILLISECONDS
from support.page_server import page_server

playwright = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def address(toys: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        served_toys.use_toys_for_searching(patch.setattr)
        with page_server(toys[1], cache=tmp_path_factory.mktemp("cache")) as page_address:
            yield page_address


@pytest.fixture(scope="module")
def chromium(browser: Browser) -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=browser.path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(chromium: playwright.Browser, address: str) -> Iterator[playwright.Page]:
    """The page. At its end, nothing was loaded from elsewhere and nothing was logged."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(TIMEOUT_MILLISECONDS)
    problems: list[str] = []
    opened.on("console", lambda message: message.type == "error" and problems.append(message.text))
    opened.problems = problems
    opened.on("pageerror", lambda error: problems.append(str(error)))
    requests: list[str] = []
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto(address)
    yield opened
    context.close()
    foreign = [url for url in requests if not url.startswith((address, "blob:", "data:"))]
    assert foreign == []
    assert problems == []
