"""The token file and the host names."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from retrieval.errors import QueryError, StorageError
from retrieval.serving.access import is_loopback, read_token


def test_a_missing_token_file_is_written_for_its_owner_only(tmp_path: Path) -> None:
    token = read_token(tmp_path / "token")
    assert len(token) == 43
    assert read_token(tmp_path / "token") == token
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_a_token_file_that_others_can_read_is_refused_until_its_mode_is_600(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("0123456789abcdef\n")
    path.chmod(0o644)
    with pytest.raises(QueryError, match=r"has mode 644, .* set it to 600 with chmod"):
        read_token(path)
    path.chmod(0o600)
    assert read_token(path) == "0123456789abcdef"


@pytest.mark.parametrize("content", ["", "short", "0123456789abcdef\n0123456789abcdef", "é" * 20])
def test_a_weak_token_is_refused_and_a_deleted_one_written_anew(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(QueryError, match="at least 16 ASCII characters; delete the file"):
        read_token(path)
    path.unlink()
    assert len(read_token(path)) == 43


def test_a_folder_is_no_token_file(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir(mode=0o700)
    with pytest.raises(StorageError, match="cannot read or write the token"):
        read_token(tmp_path / "token")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True),
        ("localhost", True), ("0.0.0.0", False), ("::", False), ("192.168.0.1", False),
        ("example.org", False), ("localhost.example.org", False), ("", False),
    ],
)  # fmt: skip
def test_loopback_addresses(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
