"""A local hub with the protocol of the real one.

Two servers run: the hub, and the host that it sends clients to for large files. The protocol is
that of huggingface_hub's `HfApi.model_info`, `list_repo_refs`, `list_repo_tree`, `get_paths_info`,
`hf_hub_download` and `snapshot_download`, without Xet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from threading import Event, Thread

from support.hub.faults import Fault
from support.hub.handlers import FileHost, MainHost
from support.hub.repository import Repository

__all__ = ["Fault", "Hub", "Repository", "Request", "serve"]


@dataclass(frozen=True)
class Request:
    """A request of a client.

    Attributes:
        method: `GET`, `HEAD` or `POST`.
        path: Without the query, decoded.
        query: As sent.
        headers: By lower-case name.
        host: `main`, or `lfs` for the host of large files.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    host: str


@dataclass
class Hub:
    """The repositories, faults and requests of a hub; may change while it is served.

    Attributes:
        repositories: By `maker/name`, or by `name` alone.
        moved: New names by old ones; requests for an old name are redirected.
        token: The only valid one; None: nobody looks at tokens.
        lfs_bytes: Files from here on are large: sha256 names them, another host sends them.
        faults: Rules; the first that matches applies.
        requests: All requests in the order of arrival.
        downloaded: Paths of the files whose bytes were sent, whole or in part, in that order.
        endpoint: Where it listens while it is served.
        lfs_endpoint: Where the host of large files listens.
    """

    repositories: Mapping[str, Repository]
    moved: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    lfs_bytes: int = 5_000
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    downloaded: list[str] = field(default_factory=list)
    endpoint: str = ""
    lfs_endpoint: str = ""
    closing: Event = field(default_factory=Event, repr=False)

    def paths(self, method: str, host: str | None = None) -> list[str]:
        """Return the paths of the requests of one method."""
        return [r.path for r in self.requests if r.method == method and host in (None, r.host)]

    def fault(self, method: str, path: str, *, within_body: bool) -> Fault | None:
        """Return the rule that applies to a request, if any."""
        for fault in tuple(self.faults):
            if fault.within_body == within_body and fault.applies(method, path):
                return fault
        return None

    def record(
        self, method: str, path: str, query: str, headers: Mapping[str, str], host: str
    ) -> None:
        """Record a request."""
        lower = {name.lower(): value for name, value in headers.items()}
        self.requests.append(Request(method, path, query, lower, host))


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them
    request_queue_size = 64  # clients open many connections at once


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Serve on free ports until the block ends; sets `hub.endpoint`."""
    hub.closing.clear()
    with ExitStack() as stack:
        main, files = (stack.enter_context(_running(kind, hub)) for kind in (MainHost, FileHost))
        stack.callback(hub.closing.set)  # first of all on the way out: it ends stalled answers
        hub.endpoint, hub.lfs_endpoint = main, files
        yield hub


@contextmanager
def _running(kind: type[MainHost] | type[FileHost], hub: Hub) -> Iterator[str]:
    handler = type(kind.__name__, (kind,), {"hub": hub})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
