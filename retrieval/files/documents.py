"""JSON documents parsed into frozen dataclasses by pydantic: strict types, no unknown keys."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from retrieval.errors import MAX_QUOTED, short_repr

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Document = TypeVar("Document")

ERRORS_SHOWN = 3
"""Number of fields that a message names."""


def parse_json(document_type: type[Document], raw: bytes | str) -> Document:
    """Parse JSON into a dataclass; every value must have the type of its field.

    Args:
        document_type: A dataclass. Its fields may be dataclasses, tuples and mappings of them.
        raw: The JSON text.

    Raises:
        ValueError: The text is not JSON, a key is missing or unknown, or a type is wrong. The
            message is one line and names the fields.
    """
    from pydantic import ValidationError

    try:
        adapter = _adapter(document_type)  # type: ignore[arg-type]  # a class is hashable
        parsed: Document = adapter.validate_json(raw, strict=True, extra="forbid")
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise ValueError("; ".join(_describe(each) for each in found[:ERRORS_SHOWN])) from error
    return parsed


@cache
def _adapter(document_type: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(document_type)


def _describe(error: Any) -> str:
    field = ".".join(str(part)[:MAX_QUOTED] for part in error["loc"]) or "the document"
    match error["type"]:
        case "missing":
            return f"{field} is missing"
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"{field} is an unknown key"
    return f"{field}: {error['msg']}, got {short_repr(error['input'])}"
