"""What a hub does wrong, by rule: broken connections, refusals, foreign bytes, foreign pages."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

STATUSES = {
    "401": (401, "", "Invalid credentials in Authorization header"),
    "403": (403, "", "Forbidden"),
    "gated": (403, "GatedRepo", "Access to this model is restricted"),
    "repo_not_found": (404, "RepoNotFound", "Repository not found"),
    "revision_not_found": (404, "RevisionNotFound", "Invalid rev id"),
    "entry_not_found": (404, "EntryNotFound", "Entry not found"),
    "404": (404, "EntryNotFound", "Entry not found"),
    "416": (416, "", "Range not satisfiable"),
    "429": (429, "", "We had to rate limit you"),
    "500": (500, "", "Internal Error - We are working hard to fix this as soon as possible!"),
    "502": (502, "", "Bad Gateway"),
    "503": (503, "", "Service Unavailable"),
    "504": (504, "", "Gateway Timeout"),
}
"""Status, X-Error-Code and X-Error-Message by kind of fault."""

OTHERS = ("drop", "stall", "wrong_digest", "ignore_range", "html")


@dataclass
class Fault:
    """One rule; the first that matches a request applies to it.

    Attributes:
        pattern: Of paths without the query, on both hosts, as `fnmatch` reads it: `*/config.json`.
            The file host's paths begin with `/lfs/` and end with the file's own.
        kind: A key of `STATUSES`, or one of:
            `drop`: closes the connection after `after_bytes` of the body, None: before any answer;
            `stall`: stops sending there, until the hub is closed;
            `wrong_digest`: sends as many bytes, of which the last is another;
            `ignore_range`: sends the whole file where a part was asked for;
            `html`: a page with status 200, as a hotel's or an airport's network sends.
        times: To how many requests it applies; None: to all.
        after_bytes: See `kind`.
        retry_after: Seconds, sent as Retry-After.
        method: The only method it applies to; None: any.
    """

    pattern: str
    kind: str
    times: int | None = None
    after_bytes: int | None = None
    retry_after: int | None = None
    method: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in STATUSES and self.kind not in OTHERS:
            raise ValueError(f"no kind of fault {self.kind!r}; {', '.join((*STATUSES, *OTHERS))}")

    @property
    def within_body(self) -> bool:
        """Whether it changes the bytes of a file; the others come in an answer's place."""
        return self.after_bytes is not None or self.kind in ("wrong_digest", "ignore_range")

    def applies(self, method: str, path: str) -> bool:
        """Whether the rule is for this request; counts it if so."""
        if self.method not in (None, method) or not fnmatchcase(path, self.pattern):
            return False
        with self._lock:
            if self.times is None:
                return True
            self.times -= 1
            return self.times >= 0
