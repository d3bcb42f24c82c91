"""The page is used by keyboard and at every width, and meets WCAG AA."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.page_driver import ask, names, settled


def test_the_keyboard_does_everything(page) -> None:
    page.wait_for_selector(".card")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type("red")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.title.startsWith('red')")
    settled(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    focused = "document.activeElement.closest('.card')?.querySelector('.name').textContent"
    assert page.evaluate(focused) == "red.png"
    page.keyboard.press("x")
    assert page.inner_text("#selection span") == "1 selected"
    page.keyboard.press("e")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    saved = json.loads(Path(download.value.path()).read_text())
    assert [hit["uri"].rpartition("/")[2] for hit in saved["hits"]] == ["red.png"]
    page.keyboard.press("Escape")
    assert page.is_hidden("#selection")
    page.locator(".card a.open").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#viewer .stage img")
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('#viewer').open")
    assert page.evaluate(focused) == "red.png"
    page.keyboard.press("?")
    page.wait_for_selector("#help[open]")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    assert page.evaluate("document.activeElement.id") == "q"


def test_the_focus_stays_on_a_control_that_changes_the_query(page) -> None:
    ask(page, "red")
    page.focus("#targets button:has-text('Videos')")
    page.keyboard.press("Enter")
    page.wait_for_url("**to=video**")
    settled(page)
    focused = "document.activeElement.textContent"
    assert page.evaluate(focused) == "Videos"
    page.focus("#add-filter")
    page.keyboard.press("Enter")
    page.wait_for_selector("#filter-dialog input[name=condition]:focus")
    page.keyboard.type("width > 9999")
    page.keyboard.press("Enter")
    page.wait_for_url("**where=**")
    settled(page)
    assert page.evaluate(focused) == "+ Filter"
    assert "Nothing matches these conditions" in page.inner_text("#message")
    page.click("#message button:has-text('Remove the filters')")
    page.wait_for_function("() => !location.search.includes('where')")
    settled(page)
    assert names(page) == ["film.mp4"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 2560])
def test_it_is_accessible_and_fits(page, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 900})
    ask(page, "red")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    check(page, axe)
    page.locator(".card.video a.open").first.click()
    page.wait_for_selector("#viewer .seek")
    check(page, axe)
    page.keyboard.press("Escape")
    page.click("#add-filter")
    page.wait_for_selector("#filter-dialog details")
    check(page, axe)
    page.keyboard.press("Escape")
    page.click("#about")
    page.wait_for_selector("#failures h2")
    check(page, axe)


def check(page, axe) -> None:
    """Check the rules of WCAG AA."""
    rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21aa"]}}
    found = axe.Axe().run(page, options=rules).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:120]) for each in found] == []
