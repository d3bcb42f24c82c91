"""The page, driven in Chromium. It shows a collection of toys: "red" finds the red picture."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

from retrieval.progress import no_progress
from retrieval.store.lock import CollectionLock
from retrieval.store.writer_progress import PublishedProgress
from support import served_toys
from support.browser import Browser
from support.page_server import page_server

playwright = pytest.importorskip("playwright.sync_api")

TIMEOUT_MILLISECONDS = 60_000


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


def ask(page, text: str) -> None:
    page.fill("#q", text)
    page.press("#q", "Enter")
    page.wait_for_function("text => document.title.startsWith(text)", arg=text)
    settled(page)


def settled(page) -> None:
    """Wait until the results of the address are shown."""
    page.wait_for_function(
        "() => !document.querySelector('#results[aria-busy]') && "
        "document.querySelector('#message').textContent !== 'Searching…'"
    )


def names(page) -> list[str]:
    return page.locator(".card .name").all_inner_texts()


def parameters(page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_the_newest_items_and_examples_come_first(page) -> None:
    page.wait_for_selector(".card")
    assert page.inner_text("#message") == "Newest items"
    examples = page.locator("#examples button")
    examples.first.wait_for()
    query = examples.first.inner_text()
    examples.first.click()
    page.wait_for_function("q => document.title.startsWith(q)", arg=query)
    settled(page)
    assert page.locator(".card").count() > 0


def test_a_query_is_in_the_address_and_back_leads_to_the_last_one(page) -> None:
    ask(page, "red")
    first = names(page)
    assert first[0] == "red.png"
    ask(page, "green")
    assert names(page)[0] == "green.png"
    page.go_back()
    page.wait_for_function("() => document.title.startsWith('red')")
    settled(page)
    assert names(page) == first
    assert page.input_value("#q") == "red"
    page.go_forward()
    page.wait_for_function("() => document.title.startsWith('green')")
    page.reload()
    page.wait_for_selector(".card")
    assert names(page)[0] == "green.png"


def test_types_and_filters_restrict_the_results(page) -> None:
    ask(page, "red")
    page.click("#targets button:has-text('Videos')")
    page.wait_for_url("**to=video**")
    settled(page)
    assert names(page) == ["film.mp4"]
    page.click("#targets button:has-text('Videos')")
    page.click("#add-filter")
    page.fill("#filter-dialog input[name=condition]", "width = 64 AND uri LIKE '%/below/%'")
    page.press("#filter-dialog input[name=condition]", "Enter")
    page.wait_for_url("**where=**")
    settled(page)
    assert sorted(names(page)) == ["black.png", "white.png"]
    page.click("#filters .chip button")
    page.wait_for_function("() => !location.search.includes('where')")
    settled(page)
    assert len(names(page)) > 2


def test_filters_are_built_from_the_columns(page) -> None:
    page.click("#add-filter")
    page.click("#filter-dialog details[data-column=width] summary")
    page.fill("#filter-dialog [aria-label='width: to']", "40")
    page.press("#filter-dialog [aria-label='width: to']", "Enter")
    page.wait_for_url("**where=**")
    settled(page)
    assert parameters(page)["where"] == ["width <= 40"]
    assert "red.png" not in names(page)
    page.click("#add-filter")
    page.click("#filter-dialog summary:has-text('Folder')")
    page.click("#filter-dialog .tree button:has-text('below')")
    page.wait_for_function("() => document.querySelectorAll('#filters .chip').length === 2")
    assert "in below" in page.inner_text("#filters")


def test_a_wrong_filter_is_one_line(page) -> None:
    page.goto(page.url + "?where=nonsense+%3D+1")
    page.wait_for_selector("#message.error")
    assert "nonsense" in page.inner_text("#message")
    ask(page, "red")
    page.click("#filters .chip button")
    page.wait_for_function("() => !location.search.includes('where')")
    settled(page)
    assert names(page)[0] == "red.png"
    assert all("422" in logged for logged in page.problems)  # the browser logs refused requests
    page.problems.clear()


def test_a_dropped_picture_and_a_pasted_one_are_queries(page) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), (0, 0, 255)).save(picture, "PNG")
    drop = """([bytes, name, kind]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
        const event = kind === "drop"
            ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
        document.body.dispatchEvent(event);
    }"""
    page.evaluate(drop, [list(picture.getvalue()), "sky.png", "drop"])
    page.wait_for_url("**file=**")
    settled(page)
    assert names(page)[0] == "blue.png"
    assert "like sky.png" in page.inner_text("#terms")
    page.click("#terms button")
    page.wait_for_function("() => !location.search.includes('file')")
    page.evaluate(drop, [list(picture.getvalue()), "pasted.png", "paste"])
    page.wait_for_url("**file=**")
    settled(page)
    assert names(page)[0] == "blue.png"


def test_more_and_less_like_a_result(page) -> None:
    ask(page, "red")
    page.hover(".card:has-text('green.png')")
    page.click("[aria-label='More like this: green.png']")
    page.wait_for_url("**like=**")
    settled(page)
    assert "green.png" not in names(page)  # an item of the query is no result
    film = names(page).index("film.mp4")
    page.fill("#terms input", "-2")
    page.press("#terms input", "Enter")
    page.wait_for_function("() => location.search.includes('%3A-2')")
    settled(page)
    assert "less like green.png" in page.inner_text("#terms")
    assert "green.png" not in names(page)
    assert names(page)[0] == "red.png"
    assert names(page).index("film.mp4") >= film


def test_a_video_opens_at_its_moment_and_seeks_on_a_click(page) -> None:
    ask(page, "white")
    page.click("#targets button:has-text('Moments')")
    page.wait_for_url("**to=moment**")
    settled(page)
    card = page.locator(".card.video").first
    start = card.evaluate("element => element.hit.start_seconds")
    assert start > 0
    card.locator("a.open").click()
    page.wait_for_selector("#viewer video")
    page.wait_for_function(
        "start => Math.abs(document.querySelector('#viewer video').currentTime - start) < 1.5",
        arg=start,
    )
    page.wait_for_selector("#timeline .seek .line")
    box = page.locator("#timeline .seek").bounding_box()
    page.mouse.click(box["x"] + 2, box["y"] + box["height"] / 2)
    page.wait_for_function("() => document.querySelector('#viewer video').currentTime < 1.2")
    assert float(parameters(page)["t"][0]) < 0.2
    shared = page.url
    page.press("body", "Escape")
    page.wait_for_function("() => !document.querySelector('#viewer').open")
    assert "item" not in parameters(page)
    page.goto(shared)
    page.wait_for_selector("#viewer video")


def test_a_recording_shows_its_waveform_and_only_one_player_is_alive(page) -> None:
    ask(page, "low")
    page.wait_for_selector(".card.audio .wave")
    page.click(".card.audio a.open")
    page.wait_for_selector("#viewer audio")
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('audio, video')")


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


def test_the_cutoff_says_how_many_results_it_hides(page) -> None:
    ask(page, "red")
    page.check("#cutoff")
    page.wait_for_function("() => document.querySelector('#hidden-count').textContent")
    assert page.inner_text("#hidden-count").endswith("hidden")


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


@pytest.mark.parametrize(
    ("first", "heading"), [(2, "Less likely"), (0, "No likely match. These are the nearest:")]
)
def test_less_likely_results_follow_a_heading(page, first: int, heading: str) -> None:
    def answer(route) -> None:
        response = route.fetch()
        document = response.json()
        for rank, hit in enumerate(document["hits"]):
            hit["likely"] = rank < first
        route.fulfill(response=response, json=document)

    page.route("**/api/search?q=*", answer)
    ask(page, "red")
    shown = page.evaluate("""() => [...document.querySelectorAll("#results > *")]
        .filter((each) => each.matches(".card, .divider"))
        .map((each) => each.hit?.likely ?? each.textContent)""")
    rest = len(shown) - first - 1
    assert shown == [*[True] * first, heading, *[False] * rest]
    assert rest > 0


def test_a_tall_window_is_filled_without_scrolling(page) -> None:
    page.route("**/api/search?*k=30*", lambda route: route.continue_(
        url=route.request.url.replace("k=30", "k=3")
    ))  # fmt: skip
    page.set_viewport_size({"width": 1280, "height": 4_000})
    ask(page, "red")
    page.wait_for_function("() => document.querySelectorAll('.card').length === 10")
    assert len(set(names(page))) == 10


def test_a_day_of_the_file_is_a_filter_in_days(page) -> None:
    page.click("#add-filter")
    page.click("#filter-dialog details[data-column=mtime] summary")
    page.fill("#filter-dialog [aria-label='mtime: from']", "2001-02-03")
    page.fill("#filter-dialog [aria-label='mtime: to']", "2001-02-04")
    page.press("#filter-dialog [aria-label='mtime: to']", "Enter")
    page.wait_for_url("**where=**")
    first, last = (
        page.evaluate("day => new Date(2001, 1, day).getTime() / 1000", day) for day in (3, 5)
    )
    assert parameters(page)["where"] == [f"mtime >= {first:.0f} AND mtime < {last:.0f}"]
    assert "changed from" in page.inner_text("#filters .chip")


def test_the_viewer_says_the_time_and_seeks_by_the_keyboard(page) -> None:
    ask(page, "white")
    page.click("#targets button:has-text('Videos')")
    page.wait_for_url("**to=video**")
    settled(page)
    page.locator(".card.video a.open").first.click()
    page.wait_for_selector("#viewer .seek[role=slider]")
    page.focus("#viewer .seek")
    page.keyboard.press("Home")
    page.wait_for_function("() => document.querySelector('#viewer video').currentTime < 0.9")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('#viewer video').currentTime >= 1")
    page.wait_for_function("() => /^0:0[1-4]$/.test(document.querySelector('.now').textContent)")
    rows = dict(zip(
        page.locator("#viewer dt").all_inner_texts(), page.locator("#viewer dd").all_inner_texts(),
        strict=True,
    ))  # fmt: skip
    assert (rows["Dimensions"], rows["Length"]) == ("64 × 48", "0:04")
    assert rows["Format"].startswith("h264, ")
    page.keyboard.press("m")
    page.wait_for_url("**like=**")
    page.wait_for_function("() => !document.querySelector('#viewer').open")


def test_a_recording_is_played_in_its_card(page) -> None:
    ask(page, "low")
    page.wait_for_selector(".card.audio .wave")
    page.click(".card.audio .play")
    assert page.get_attribute(".card.audio .play", "aria-pressed") == "true"
    page.wait_for_function(
        "() => document.querySelector('.card.audio').style.getPropertyValue('--at') > 0"
    )
    page.click(".card.audio .play")
    assert page.get_attribute(".card.audio .play", "aria-pressed") == "false"


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


def test_all_collections_are_searched_together(
    chromium: playwright.Browser, toys: tuple[Path, Path], tmp_path: Path
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
