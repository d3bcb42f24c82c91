"""JSON responses, with dates as text."""

from __future__ import annotations

import json

from starlette.responses import Response

from retrieval.columns.types import json_value


def json_response(content: object, status: int = 200) -> Response:
    """Serialize a value that is not to be stored by caches."""
    body = json.dumps(content, default=json_value, allow_nan=False).encode()
    return Response(body, status, {"cache-control": "no-store"}, "application/json")
