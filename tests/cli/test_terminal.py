"""Rows 20, 21 and 28: what reaches a terminal, and what a pipe gets."""

import csv
import io
import json
import os
import pty
import sys
from pathlib import Path

import pytest

from cli.terminal import CsvPrinter, end_of, escaped, json_text, print_paths, quoted
from retrieval.media.names import uri_to_path
from support.terminals import read_all

HOSTILE = "a\x1b]52;c;aGk=\x07\x1b[2J\x9b31m\x7f\r\n\tb‮gpj.exe\u2028 \x00é🐎"


def test_field_28_control_characters_are_escaped() -> None:
    assert escaped(HOSTILE) == (
        r"a\x1b]52;c;aGk=\x07\x1b[2J\x9b31m\x7f\r\n\tb\u202egpj.exe\u2028 \x00é🐎"
    )
    assert escaped("a\udcffb") == r"a\udcffb"
    assert escaped("👩‍🚀 and ünïcode") == "👩‍🚀 and ünïcode"


def test_field_28_json_keeps_its_meaning_and_is_escaped() -> None:
    text = json_text({HOSTILE: [HOSTILE, "\udcff"]})
    assert text.isprintable()
    assert json.loads(text) == {HOSTILE: [HOSTILE, "\udcff"]}
    assert json.loads(json_text({"a": "\x7f"}, indent=1)) == {"a": "\x7f"}


def test_field_28_a_quoted_uri_names_the_same_file() -> None:
    uri = "/a%25b\x1b[31m\n‮é.jpg"
    assert quoted(uri) == "/a%25b%1B[31m%0A%E2%80%AEé.jpg"
    assert uri_to_path(quoted(uri)) == uri_to_path(uri)


def test_field_28_csv_stays_csv(capsys: pytest.CaptureFixture[str]) -> None:
    CsvPrinter(["a", "b"]).row([HOSTILE, None])
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert list(csv.reader(io.StringIO(out))) == [["a", "b"], [escaped(HOSTILE), ""]]


def test_field_20_paths_are_raw_in_a_pipe(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    paths = ["/a b\nc.jpg", "/\udcff\x1b.jpg", "/100%.jpg"]
    print_paths(paths)
    print_paths(paths, nul=True)
    raw = b"/a b\nc.jpg", b"/\xff\x1b.jpg", b"/100%.jpg"
    assert capfdbinary.readouterr().out == b"\n".join((*raw, b"")) + b"\0".join((*raw, b""))


def test_field_20_paths_are_escaped_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, end = pty.openpty()
    with os.fdopen(end, "w") as screen:
        monkeypatch.setattr(sys, "stdout", screen)
        print_paths(["/a\nb\x1b[2J.jpg"])
        monkeypatch.undo()
    assert read_all(shown) == "/a\\nb\\x1b[2J.jpg\r\n"


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("/a/b.jpg", 8, "/a/b.jpg"),
        ("/a/b.jpg", 6, "…b.jpg"),
        ("/日本語.jpg", 9, "…本語.jpg"),
        ("/日本語.jpg", 8, "…語.jpg"),
        ("abc", 1, "…"),
    ],
)
def test_field_21_the_end_of_a_path_is_kept(text: str, width: int, shown: str) -> None:
    assert end_of(text, width) == shown


def test_field_28_no_command_prints_past_the_escapes() -> None:
    """Consoles, JSON and CSV are made in one place."""
    for module in sorted(Path(__file__).parents[2].glob("cli/*.py")):
        if module.name != "terminal.py":
            text = module.read_text()
            for own in ("Console(", "json.dumps", "csv.writer"):
                assert own not in text, module
