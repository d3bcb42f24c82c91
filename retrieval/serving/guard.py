"""Checks every request before a route sees it, and adds the security headers to every response."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.serving.access import Access
from retrieval.serving.limits import MAX_TARGET_BYTES

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
METHODS = frozenset({"GET", "HEAD", "POST"})
ALLOW = {"allow": "GET, HEAD, POST"}
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}

SIGN_IN_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>retrieval</title>
<meta name="viewport" content="width=device-width">
<h1>This page needs a token</h1>
<p>Open the address that <code>retrieval serve</code> printed. It works once.</p>
<p>If you came here by a link and have opened it before, <a href="{target}">continue</a>.</p>
</html>
"""


class RefusedError(Exception):
    """A request that is answered with an error before it reaches a route."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers or {}


class Guard:
    """ASGI middleware with the rules for host, origin, fetch metadata, method and token.

    Args:
        app: The routes.
        access: The names and secrets.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = with_headers(send, SECURITY_HEADERS)
        is_root = scope["path"] == self._access.root_path
        scope = self._below_root(scope)
        try:
            entered = self._check(scope, Headers(scope=scope))
        except RefusedError as refusal:
            if refusal.status == 401 and _is_navigation(scope, Headers(scope=scope)):
                await _send_page(send, scope, self._access.root_path)
            else:
                await send_error(send, scope, refusal.status, str(refusal), refusal.headers)
            return
        if entered:
            # 303 without the token, so that it stays out of the history and of copied addresses.
            headers = {"location": f"{self._access.root_path}/", "cache-control": "no-store"}
            if entered == "new":
                headers["set-cookie"] = self._access.cookie
            await _send(send, 303, b"", headers)
            return
        if is_root:
            # The addresses in the page are relative to the path with the slash.
            query = scope["query_string"].decode("latin-1")
            location = f"{self._access.root_path}/?{query}".removesuffix("?")
            await _send(send, 303, b"", {"location": location, "cache-control": "no-store"})
            return
        await self._app(scope, receive, send)

    def _below_root(self, scope: Scope) -> Scope:
        """Remove the root path, which a proxy may have removed before."""
        root, path = self._access.root_path, scope["path"]
        if root and (path == root or path.startswith(f"{root}/")):
            return {**scope, "path": path[len(root) :] or "/"}
        return scope

    def _check(self, scope: Scope, headers: Headers) -> str | None:
        """Check a request; return `new` or `known` if a one-time token opens a session.

        Raises:
            RefusedError: The request breaks a rule.
        """
        access = self._access
        self._check_source(scope, headers)
        if scope["method"] not in METHODS:
            raise RefusedError(
                405, "only GET, HEAD and POST are answered", {"allow": "GET, HEAD, POST"}
            )
        if len(scope["query_string"]) + len(scope["path"]) > MAX_TARGET_BYTES:
            raise RefusedError(414, f"the address is longer than {MAX_TARGET_BYTES:,} bytes")
        known = access.is_authenticated(headers)
        if scope["path"] == "/" and scope["method"] == "GET":
            tokens = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
            if tokens and access.use_one_time_token(tokens[0]):
                return "new"
            if tokens and known:
                return "known"
        if not known:
            raise RefusedError(
                401,
                "a token is needed: open the address that the server printed, which works once, "
                "or send `Authorization: Bearer` with the token of programs",
                {"www-authenticate": "Bearer"},
            )
        return None

    def _check_source(self, scope: Scope, headers: Headers) -> None:
        """Check where a request comes from, by the headers that a browser sets."""
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            raise RefusedError(400, "a request needs one Host header")
        if not self._access.allows_host(hosts[0]):
            raise RefusedError(
                403, "the Host header names another server; allow the name at the start"
            )
        origin = headers.get("origin")
        if origin is not None and not self._access.allows_origin(origin, hosts[0]):
            raise RefusedError(403, "the Origin header names another server")
        site = headers.get("sec-fetch-site", "none")
        if site not in ("none", "same-origin") and not _is_navigation(scope, headers):
            raise RefusedError(403, "requests from pages of other sites are refused")


def _is_navigation(scope: Scope, headers: Headers) -> bool:
    """Whether a browser opens the page itself, as by a link."""
    return (
        scope["method"] == "GET"
        and scope["path"] == "/"
        and all(headers.get(name) == value for name, value in NAVIGATION.items())
    )


# ---------------------------------------------------------------- sending


def with_headers(send: Send, headers: dict[str, str]) -> Send:
    """Return a `send` that adds headers to the response and replaces earlier ones."""
    added = [(name.encode(), value.encode()) for name, value in headers.items()]
    names = {name for name, _ in added}

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in names]
            message = {**message, "headers": [*kept, *added]}
        await send(message)

    return wrapped


async def send_error(
    send: Send,
    scope: MutableMapping[str, Any],
    status: int,
    reason: str,
    headers: dict[str, str] | None = None,
) -> None:
    """Answer with `{"error": reason}`."""
    body = b"" if scope["method"] == "HEAD" else json.dumps({"error": reason}).encode()
    fixed = {"content-type": "application/json", "cache-control": "no-store"}
    if scope["method"] == "POST":
        fixed["connection"] = "close"  # the body may be endless; it is not read any further
    await _send(send, status, body, {**fixed, **(headers or {})})


async def _send_page(send: Send, scope: Scope, root_path: str) -> None:
    query = scope["query_string"].decode("latin-1")
    safe = "".join(c for c in query if c.isalnum() or c in "=&%+.-_~:*,")
    kept = "&".join(part for part in safe.split("&") if not part.startswith("token="))
    page = SIGN_IN_PAGE.format(target=f"{root_path}/?{kept}".replace("&", "&amp;"))
    headers = {"content-type": "text/html; charset=utf-8", "cache-control": "no-store"}
    await _send(send, 401, page.encode(), headers)


async def _send(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
