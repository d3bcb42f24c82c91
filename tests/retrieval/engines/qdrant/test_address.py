"""Addresses and names."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.engines.qdrant.address import QdrantAddress, default_name, is_qdrant_address
from retrieval.errors import QueryError


@pytest.mark.parametrize(
    ("text", "url", "folder", "name"),
    [
        ("qdrant://host", "http://host:6333", None, None),
        ("qdrant://host:7000/photos", "http://host:7000", None, "photos"),
        ("qdrants://host/photos/", "https://host:6333", None, "photos"),
        ("qdrant://[::1]:6333/a", "http://[::1]:6333", None, "a"),
        ("qdrant+file:some/folder", None, "some/folder", None),
        ("qdrant+file:/some/folder#photos", None, "/some/folder", "photos"),
    ],
)
def test_addresses(text: str, url: str | None, folder: str | None, name: str | None) -> None:
    parsed = QdrantAddress.parse(text)
    assert parsed == QdrantAddress(url, folder and Path(folder), name)
    assert is_qdrant_address(text)
    # The command line passes addresses as paths, which have no double slashes.
    assert QdrantAddress.parse(str(Path(text))) == parsed
    assert QdrantAddress.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://host", "is not the address of a Qdrant; expected qdrant://HOST:6333/NAME"),
        ("qdrant:host", "is not the address of a Qdrant"),
        ("qdrant://", "is not the address of a Qdrant"),
        ("qdrant+file:", "is not the address of a Qdrant"),
        ("qdrant://host:port/a", "the address of the Qdrant is not valid"),
        ("qdrant://user:secret@host/a", "its key comes from the environment variable QDRANT_API_"),
        ("qdrant://host/a?key=secret", "QDRANT_API_KEY"),
        ("qdrant://host/a/b", "'a/b' cannot be a name in Qdrant: the character '/'"),
        ("qdrant://host/a*", "the character '*' is not allowed"),
        ("qdrant+file:x#..", "at least one other character than a point"),
        ("qdrant+file:x#a\x1fb", "the character '\\x1f' is not allowed"),
        ("qdrant://host/" + "n" * 201, "more than 200 bytes"),
    ],
)
def test_refused_addresses(text: str, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        QdrantAddress.parse(text)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_default_name_is_that_of_the_folder() -> None:
    assert default_name(Path("/a/holiday photos")) == "holiday photos"
    assert default_name(Path("/a/what?")) == "what-"
    assert default_name(Path("/a/...")) == "collection"
    assert default_name(Path("/")) == "collection"
