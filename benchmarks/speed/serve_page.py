"""Measures in Chromium when the page shows the hits of a query and their pictures."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Any

from benchmarks.results.outcome import Result
from benchmarks.speed.harness import Sample, row

if TYPE_CHECKING:
    from playwright.sync_api import Page

logger = logging.getLogger(__name__)

WARM_UPS = 2
TURNS = 15
GOAL_MILLISECONDS = 300.0

OBSERVE = """
window.painted = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) painted.push([entry.identifier, entry.renderTime]);
}).observe({ type: "element", buffered: true });
"""
"""Collects the times at which names and pictures of hits are painted (Element Timing)."""

ASK = """(text) => {
  window.painted.length = 0;
  performance.clearResourceTimings();
  document.querySelector("#q").value = text;
  document.querySelector("#query").requestSubmit();
}"""

IS_SHOWN = """() => {
  const search = performance.getEntriesByType("resource").find(({ name }) => name.includes("/api/search?q="));
  if (!search?.responseEnd) return false;
  const visible = [...document.querySelectorAll(".card img")].filter((image) => {
    const { top, bottom } = image.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  });
  const of = (kind) => window.painted.filter(([name, time]) => name === kind && time > search.responseEnd);
  if (!of("hit").length || !visible.length || !visible.every((image) => image.complete)) return false;
  if (of("picture").length < visible.length) return false;
  const times = (kind) => of(kind).map(([, time]) => time - search.responseEnd);
  return { hits: Math.min(...times("hit")), pictures: times("picture").sort((a, b) => a - b)[visible.length - 1] };
}"""  # noqa: E501


def page_results(port: int, photographs: int) -> list[Result]:
    """Measure the page of a server whose thumbnails are not made yet; nothing without Chromium."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        logger.warning("the page is not measured: install playwright")
        return []
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as started:
        try:
            browser = started.chromium.launch(executable_path=executable)
        except Error:
            logger.warning("the page is not measured: no Chromium here")
            return []
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(OBSERVE)
        page.goto(f"http://127.0.0.1:{port}/?view=collection")
        page.wait_for_selector("#overview h1")
        shown = [_ask(page, turn) for turn in range(WARM_UPS + TURNS)]
        browser.close()
    task = f"page in Chromium, {photographs} photographs, from the answer on"
    hits, pictures = (
        Sample(tuple(turn[kind] for turn in shown[WARM_UPS:])) for kind in ("hits", "pictures")
    )
    first = shown[0]
    return [
        row(task, "milliseconds until the first hits are painted", hits, GOAL_MILLISECONDS),
        row(task, "milliseconds until all pictures in view are painted", pictures),
        row(task, "milliseconds until the first hits are painted, first query",
            Sample((first["hits"],)), GOAL_MILLISECONDS),
        row(task, "milliseconds until all pictures in view are painted, first query",
            Sample((first["pictures"],))),
    ]  # fmt: skip


def _ask(page: Page, turn: int) -> dict[str, float]:
    """Search for a new text; return the milliseconds from the answer to the paints."""
    page.evaluate(ASK, f"a photograph of thing number {turn}")
    handle: Any = page.wait_for_function(IS_SHOWN)
    times: dict[str, float] = handle.json_value()
    return times
