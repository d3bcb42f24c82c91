"""Pictures, videos and recordings are shown and played."""

from __future__ import annotations

from support.page_driver import ask, settled


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
    page.wait_for_function("() => parseFloat(new URLSearchParams(location.search).get('t')) < 0.2")
    shared = page.url
    page.press("body", "Escape")
    # The browser closes the dialog before its event changes the address.
    page.wait_for_function("() => !document.querySelector('#viewer').open")
    page.wait_for_function("() => !new URLSearchParams(location.search).has('item')")
    page.goto(shared)
    page.wait_for_selector("#viewer video")


def test_a_recording_shows_its_waveform_and_only_one_player_is_alive(page) -> None:
    ask(page, "low")
    page.wait_for_selector(".card.audio .wave")
    page.click(".card.audio a.open")
    page.wait_for_selector("#viewer audio")
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('audio, video')")


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
