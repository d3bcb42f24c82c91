"""Request handlers of the hub: API, redirects, ranges of files, refusals."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote

from support.hub.faults import STATUSES, Fault
from support.hub.repository import (
    Content,
    Repository,
    describe,
    file_json,
    model_json,
    read,
    refs_json,
    tree_json,
)

if TYPE_CHECKING:
    from support.hub.server import Hub

PAGE = b"<!DOCTYPE html><html><title>Welcome</title><body>Please accept our terms.</body></html>"

API = re.compile(r"/api/models/(.+?)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?|/(refs))?/?")
RESOLVE = re.compile(r"/(.+?)/resolve/([^/]+)/(.+)")
LARGE = re.compile(r"/lfs/(.+)/([0-9a-f]{40})/([0-9a-f]{64})/(.+)")
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class RefusedError(Exception):
    """A response with an error status."""

    def __init__(self, status: int, code: str = "", message: str = "", **headers: str) -> None:
        self.status, self.code, self.message, self.headers = status, code, message, headers


class Handler(BaseHTTPRequestHandler):
    """Common base of both hosts: one request per connection, faults, responses."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    hub: Hub
    host: str

    def do_HEAD(self) -> None:
        self.handle_request()

    def do_GET(self) -> None:
        self.handle_request()

    def do_POST(self) -> None:
        self.handle_request()

    def handle_request(self) -> None:
        """Record the request, and answer it or apply a fault."""
        self.raw, _, self.query = self.path.partition("?")
        path = unquote(self.raw)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.record(self.command, path, self.query, dict(self.headers.items()), self.host)
        fault = self.hub.fault(self.command, path, within_body=False)
        try:
            if fault is not None:
                self.fail(fault)
            else:
                self.answer()
        except RefusedError as refused:
            self.refuse(refused)
        except ConnectionError:  # the client has gone
            self.close_connection = True

    def answer(self) -> None:
        """Answer a request without a fault."""
        raise NotImplementedError

    def fail(self, fault: Fault) -> None:
        """Apply a fault instead of a response."""
        if fault.effect == "stall":
            self.hub.closing.wait()
        if fault.effect in ("stall", "drop"):
            self.close_connection = True
        elif fault.effect == "html":
            self.send(200, PAGE, {"Content-Type": "text/html; charset=utf-8"})
        else:
            status, code, message = STATUSES[fault.effect]
            wait = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            raise RefusedError(status, code, message, **wait)

    def refuse(self, refused: RefusedError) -> None:
        headers = {"Content-Type": "application/json; charset=utf-8"} | refused.headers
        if refused.code:
            headers["X-Error-Code"] = refused.code
        if refused.message:
            headers["X-Error-Message"] = refused.message
        self.send(refused.status, json.dumps({"error": refused.message}).encode(), headers)

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Send a response; for HEAD, its headers."""
        self.begin(status, len(body), headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def begin(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()

    def send_file(self, name: str, content: Content, headers: dict[str, str]) -> None:
        """Send a file or the requested range of it."""
        fault = None
        if self.command == "GET":
            fault = self.hub.fault("GET", unquote(self.raw), within_body=True)
        effect = fault.effect if fault else ""
        body = read(content)
        if effect == "wrong_digest" and body:
            body = body[:-1] + bytes([body[-1] ^ 1])
        status, size = 200, len(body)
        headers = headers | {"Accept-Ranges": "bytes"}
        asked = RANGE.fullmatch(self.headers.get("Range", ""))
        if asked and any(asked.groups()) and effect != "ignore_range":
            first, last = _span(asked, size)
            if first >= size or last < first:
                raise RefusedError(416, **{"Content-Range": f"bytes */{size}"})
            body, status = body[first : last + 1], 206
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        if self.command == "GET":
            self.hub.downloaded.append(name)
        if fault is None or fault.after_bytes is None:
            self.send(status, body, headers)
            return
        self.begin(status, len(body), headers)
        self.wfile.write(body[: fault.after_bytes])
        self.fail(fault)

    def log_message(self, *arguments: object) -> None:
        pass


def _span(asked: re.Match[str], size: int) -> tuple[int, int]:
    """Return the first and last byte of a range: `5-9`, `5-`, or `-5` for the last five."""
    first, last = asked.groups()
    if not first:
        return max(size - int(last), 0), size - 1
    return int(first), min(int(last), size - 1) if last else size - 1


class MainHost(Handler):
    """The hub: API, small files, and redirects of large ones."""

    host = "main"

    def answer(self) -> None:
        """Answer requests of the API and of files."""
        api, file = API.fullmatch(self.raw), RESOLVE.fullmatch(self.raw)
        found = api or file
        if found is None:
            raise RefusedError(404, "", "Sorry, we can't find the page you are looking for.")
        name = found[1]
        if name in self.hub.moved:
            prefix = "/api/models/" if api else "/"
            rest = self.path.removeprefix(prefix + name)
            self.send(307, b"", {"Location": prefix + self.hub.moved[name] + rest})
            return
        repository = self.repository(name)
        if file:
            self.answer_file(name, repository, unquote(file[2]), unquote(file[3]))
        else:
            assert api is not None
            what, revision, folder, refs = api.groups()[1:]
            answer = self.api_answer(
                name, repository, refs or what, unquote(revision or "main"), unquote(folder or "")
            )
            self.send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def repository(self, name: str) -> Repository:
        """Return the requested repository if the client may see it."""
        sent = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.hub.token is not None and sent and sent != self.hub.token:
            raise RefusedError(401, "", "Invalid credentials in Authorization header")
        self.known = bool(sent)
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not self.known):
            # Without a token the hub answers 401 for missing repositories too.
            if self.known:
                raise RefusedError(404, "RepoNotFound", "Repository not found")
            raise RefusedError(401, "RepoNotFound", "Invalid username or password.")
        return repository

    def api_answer(
        self, name: str, repository: Repository, what: str | None, revision: str, folder: str
    ) -> Any:
        """Return the API's description of a model, its refs, or its files."""
        query = parse_qs(self.query)
        if what == "refs":
            return refs_json(repository, pull_requests="include_prs" in query)
        commit = self.commit(repository, revision)
        lfs_bytes = self.hub.lfs_bytes
        if what == "tree":
            recursive = query.get("recursive", [""])[0].lower() in ("1", "true")
            tree = tree_json(repository, commit, folder, recursive=recursive, lfs_bytes=lfs_bytes)
            if tree is None:
                raise RefusedError(404, "EntryNotFound", f"{folder} does not exist on {revision!r}")
            return tree
        if what == "paths-info":
            files = repository.revisions[commit]
            paths = parse_qs(self.body.decode()).get("paths", [])
            return [file_json(path, files[path], lfs_bytes) for path in paths if path in files]
        blobs = query.get("blobs", [""])[0].lower() in ("1", "true")
        return model_json(name, repository, commit, lfs_bytes=lfs_bytes, blobs=blobs)

    def answer_file(self, name: str, repository: Repository, revision: str, path: str) -> None:
        """Send a small file; redirect to a large one."""
        if repository.gated:
            page = f"{self.hub.endpoint}/{name}"
            message = f"Access to model {name} is restricted. Visit {page} to ask for access."
            raise RefusedError(403 if self.known else 401, "GatedRepo", message)
        commit = self.commit(repository, revision)
        headers = {"X-Repo-Commit": commit}
        content = repository.revisions[commit].get(path)
        if content is None:
            raise RefusedError(404, "EntryNotFound", "Entry not found", **headers)
        known = describe(content)
        if known.size < self.hub.lfs_bytes:
            self.send_file(path, content, headers | {"ETag": f'"{known.blob}"'})
            return
        large = f"/lfs/{quote(name)}/{commit}/{known.sha256}/{quote(path)}"
        headers |= {
            "Location": f"{self.hub.lfs_endpoint}{large}?Expires=1&Signature=signed",
            "X-Linked-ETag": f'"{known.sha256}"',
            "X-Linked-Size": str(known.size),
        }
        self.send(302, b"Found", headers)

    def commit(self, repository: Repository, revision: str) -> str:
        """Return the commit of a revision."""
        commit = repository.commit(revision)
        if commit is None:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit


class FileHost(Handler):
    """The host of large files; requests have a signature and no token."""

    host = "lfs"

    def answer(self) -> None:
        """Send a large file."""
        found = LARGE.fullmatch(unquote(self.raw))
        if found is None or "Signature" not in parse_qs(self.query):
            raise RefusedError(403, "", "Access denied")
        if "Authorization" in self.headers:
            raise RefusedError(400, "", "Only one auth mechanism allowed")
        name, commit, sha256, path = found.groups()
        repository = self.hub.repositories.get(name)
        files = repository.revisions.get(commit, {}) if repository else {}
        if path not in files or describe(files[path]).sha256 != sha256:
            raise RefusedError(404, "", "No such key")
        self.send_file(path, files[path], {"ETag": f'"{sha256[:32]}"'})
