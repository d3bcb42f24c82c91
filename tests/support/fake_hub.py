"""A model hub on this machine: the two kinds of requests that fetching a model makes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LFS_BYTES = 5_000
"""Files from here on are described by sha256, smaller ones by git's name."""


@dataclass
class FakeHub:
    """Repositories by name, each with its files, and what was asked for.

    Attributes:
        repositories: Content by file name, by `maker/name`.
        served: Content that is sent in place of the described, by file name.
        downloaded: Names of the files sent so far.
    """

    repositories: dict[str, dict[str, bytes]]
    served: dict[str, bytes] = field(default_factory=dict)
    downloaded: list[str] = field(default_factory=list)
    endpoint: str = ""

    def describe(self, repo: str) -> bytes:
        """What the hub's interface says of a repository."""
        siblings = []
        for name, content in self.repositories[repo].items():
            one: dict[str, object] = {"rfilename": name, "size": len(content)}
            one["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            if len(content) >= LFS_BYTES:
                digest = hashlib.sha256(content).hexdigest()
                one["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
            siblings.append(one)
        return json.dumps({"id": repo, "sha": COMMIT, "siblings": siblings}).encode()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0].strip("/")
        if path.startswith("api/models/"):
            self.answer_about(path.removeprefix("api/models/"))
            return
        repo, _, name = path.partition("/resolve/main/")
        content = self.hub.repositories.get(repo, {}).get(name)
        if content is None:
            self.refuse("EntryNotFound")
            return
        if body:
            self.hub.downloaded.append(name)
        sent = self.hub.served.get(name, content)
        self.reply(sent, hashlib.sha256(content).hexdigest(), body=body)

    def answer_about(self, repo: str) -> None:
        if repo in self.hub.repositories:
            self.reply(self.hub.describe(repo), "", body=True)
        else:
            self.refuse("RepoNotFound")

    def reply(self, content: bytes, etag: str, *, body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{etag}"')
        self.end_headers()
        if body:
            self.wfile.write(content)

    def refuse(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serve(hub: FakeHub) -> Iterator[FakeHub]:
    """Answer on a free port until the block ends; `hub.endpoint` says where."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
