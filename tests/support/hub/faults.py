"""Faults of a hub by rule: broken connections, refusals, wrong bytes, web pages."""

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
"""Status, X-Error-Code and X-Error-Message by effect of fault."""

OTHERS = ("drop", "stall", "wrong_digest", "ignore_range", "html")


@dataclass
class Fault:
    """One rule; the first that matches a request applies to it.

    Attributes:
        pattern: Of paths without the query, on both hosts, as `fnmatch` reads it: `*/config.json`.
            The file host's paths begin with `/lfs/` and end with the file's own.
        effect: A key of `STATUSES`, or one of:
            `drop`: closes the connection after `after_bytes` of the body, None: before any answer;
            `stall`: stops sending there, until the hub is closed;
            `wrong_digest`: sends as many bytes, of which the last is another;
            `ignore_range`: sends the whole file where a part was asked for;
            `html`: a page with status 200, as a hotel's or an airport's network sends.
        times: To how many requests it applies; None: to all.
        after_bytes: See `effect`.
        retry_after: Seconds, sent as Retry-After.
        method: The only method it applies to; None: any.
    """

    pattern: str
    effect: str
    times: int | None = None
    after_bytes: int | None = None
    retry_after: int | None = None
    method: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.effect not in STATUSES and self.effect not in OTHERS:
            raise ValueError(
                f"no effect of fault {self.effect!r}; {', '.join((*STATUSES, *OTHERS))}"
            )

    @property
    def within_body(self) -> bool:
        """Whether the fault changes a file's bytes; others replace the response."""
        return self.after_bytes is not None or self.effect in ("wrong_digest", "ignore_range")

    def applies(self, method: str, path: str) -> bool:
        """Check whether the rule applies to a request, and count it."""
        if self.method not in (None, method) or not fnmatchcase(path, self.pattern):
            return False
        with self._lock:
            if self.times is None:
                return True
            self.times -= 1
            return self.times >= 0
