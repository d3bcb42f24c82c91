"""`retrieval serve` before and around the server itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import serve as serve_command
from cli.main import app
from retrieval.errors import CollectionNotFoundError, MissingExtraError, QueryError
from retrieval.serving import server
from support.commands import run


def test_a_missing_extra_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_command, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'retrieval\[serve\]'"):
        run("serve", tmp_path)


def test_a_folder_that_is_no_collection_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match="is not a collection"):
        run("serve", tmp_path)


def test_no_token_needs_a_loopback_address(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="so a token is needed"):
        run("serve", tmp_path, "--no-token", "--host", "0.0.0.0")


def test_the_address_is_one_line_and_the_browser_gets_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(server, "serve", lambda library, settings, ready: ready("one", "two"))
    assert run("serve", tmp_path, "--open") == "one\n"
    assert opened == ["two"]


def test_ctrl_c_ends_with_code_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "serve", interrupted)
    assert CliRunner().invoke(app, ["serve", str(tmp_path)]).exit_code == 130
