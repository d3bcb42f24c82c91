"""Limits of the server on requests, media and work that waits."""

from __future__ import annotations

MAX_HITS = 500
MAX_OFFSET = 10_000
MAX_QUERY_LENGTH = 4_096
"""Characters of `q` and of one `where`."""

MAX_CONDITIONS = 32
MAX_TERMS = 32
"""Items and files in one query."""

MAX_COLLECTIONS = 64
"""Collections in one search."""

MAX_TARGET_BYTES = 32 << 10
"""Bytes of a request's target, the path and the query string."""

MAX_HEADER_BYTES = 48 << 10
"""Bytes of a request's first line and headers."""

HEADER_SECONDS = 30.0
"""A connection without a complete request is closed after this time."""

MAX_BODY_BYTES = 64 << 20
"""Bytes of a file query."""

BODY_PAUSE_SECONDS = 15.0
BODY_SECONDS = 120.0
"""Longest pause between two parts of a body, and longest time of a whole one."""

MAX_MEDIA_SECONDS = 600.0
"""Length of a recording or video that is a query."""

MAX_CLIP_SECONDS = 600.0
"""Length of a clip."""

MAX_RUNNING_SEARCHES = 4
MAX_WAITING_SEARCHES = 2_000
MAX_RUNNING_SLOW = 2
MAX_WAITING_SLOW = 100
MAX_WAITING_UPLOADS = 14
MAX_WAITING_MEDIA = 2_000
"""Requests that wait for a worker; further ones are answered with 503."""

MAX_TRANSCODES = 4
STALL_SECONDS = 60.0
"""A transcoded stream that its client does not read for this time is ended."""

DECODE_SECONDS = 60.0
"""Time limit of one thumbnail, waveform or query in a decoding process."""

MAX_RANGES = 16
"""Ranges in one request of a file."""

CACHE_BYTES = 512 << 20
"""Size of the thumbnail cache on disk."""

MEMORY_CACHE_BYTES = 32 << 20
"""Size of the thumbnail cache in memory."""

MAX_FILE_QUERIES = 256
"""Embedded file queries that are kept for further pages."""

MAX_CACHED_TEXTS = 4_096
"""Text vectors that are kept per space."""

SHUTDOWN_SECONDS = 5.0
"""Time that running requests have to end after a signal."""
