"""Drives the page of the server in a browser."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

TIMEOUT_MILLISECONDS = 60_000


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
