"""Queries, filters and results of the page."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from support.page_driver import ask, names, parameters, settled


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


def test_the_cutoff_says_how_many_results_it_hides(page) -> None:
    ask(page, "red")
    page.check("#cutoff")
    page.wait_for_function("() => document.querySelector('#hidden-count').textContent")
    assert page.inner_text("#hidden-count").endswith("hidden")


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
