"""The prompt of `search -i`: its commands, and a real terminal."""

from __future__ import annotations

import os
import pty
import select
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import inline_images, viewers
from cli.main import app
from retrieval.errors import QueryError
from retrieval.types import Hit, Medium
from support.toy_folders import use_toy_folders
from support.toy_runs import COLOURS, pictures

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """red.png, green.png, blue.png and yellow.png, to be embedded by a toy."""
    use_toy_folders(monkeypatch, tmp_path / "data")
    return pictures(tmp_path / "media", *COLOURS)


def answers(media: Path, *lines: str, code: int = 0) -> tuple[list[str], list[str]]:
    """The names of the hits of all lines, and the messages."""
    arguments = ["search", str(media), "-i", "--format", "paths", "-k", "1"]
    result = CliRunner().invoke(app, arguments, input="\n".join(lines) + "\n")
    assert result.exit_code == code, result.output
    return [Path(line).name for line in result.stdout.splitlines()], result.stderr.splitlines()


def test_lines_of_standard_input_are_queries_and_commands(media: Path) -> None:
    hits, _ = answers(media, "red", "", "  blue ", ":k 2", ":quit", "yellow")
    assert hits[:3] == ["red.png", "blue.png", "blue.png"]
    assert len(hits) == 4  # :k repeats the query, and nothing follows :quit
    hits, _ = answers(media, "red", ":next", ":n", ":more 3")
    assert hits[0] == "red.png"
    assert len(set(hits[:3])) == 3
    assert hits[3] != hits[2]  # an item is not like itself
    hits, _ = answers(media, "red", ":where uri LIKE '%green%'", ":w", ":to image", ":to")
    assert hits == ["red.png", "green.png", "red.png", "red.png", "red.png"]


def test_bad_lines_are_one_line_each_and_never_end_the_prompt(media: Path) -> None:
    bad = ('"red" +', ":zz", ":", ":where nope = 1", ":to film", ":k x", ":more 9", ":open")
    hits, messages = answers(media, ":next", "red", *bad, ":where", "@missing.png", "red", code=1)
    assert hits == ["red.png"] * 3  # `:where` repeats, with no condition left from before
    refused = [line for line in messages if line.startswith("retrieval: ")]
    assert len(refused) == len(bad) + 2


def test_an_unexpected_error_does_not_end_the_prompt(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(hit: Hit) -> str:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("cli.interactive.open_hit", fail)
    hits, messages = answers(media, "red", ":open 1", "blue", code=1)
    assert hits == ["red.png", "blue.png"]
    assert "retrieval: ZeroDivisionError: oh" in messages


def test_other_queries_and_pages_do_not_go_with_a_prompt(media: Path) -> None:
    for more in (["red"], ["--like", "1"], ["--gallery", "x.html"]):
        result = CliRunner().invoke(app, ["search", str(media), "-i", *more])
        assert isinstance(result.exception, QueryError)


def test_without_a_terminal_a_missing_query_is_an_error(media: Path) -> None:
    result = CliRunner().invoke(app, ["search", str(media)])
    assert isinstance(result.exception, QueryError)


# ---------------------------------------------------------------- viewers and images


def hit(uri: str, start: float | None = None) -> Hit:
    return Hit(1, 0.5, 7, uri, Medium.VIDEO, Medium.VIDEO, start, None, "s", {})


def test_a_video_is_opened_at_its_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "mpv").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/asked\n')
    (tmp_path / "mpv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    said = viewers.open_hit(hit(f"{tmp_path}/a.mp4", 83.5))
    assert said == f"{tmp_path}/a.mp4 at 1:24, by mpv"
    wanted = f"--start=83.50\n{tmp_path}/a.mp4\n"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not (
        (tmp_path / "asked").exists() and (tmp_path / "asked").read_text() == wanted
    ):
        time.sleep(0.02)
    assert (tmp_path / "asked").read_text() == wanted


def test_other_hits_are_opened_by_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", lambda target: opened.append(target) or 0)
    (tmp_path / "a%.png").write_bytes(b"x")
    assert viewers.open_hit(hit(f"{tmp_path}/a%25.png")) == f"{tmp_path}/a%.png"
    assert viewers.open_hit(hit("https://example.org/a.png")) == "https://example.org/a.png"
    assert opened == [f"{tmp_path}/a%.png", "https://example.org/a.png"]
    with pytest.raises(QueryError, match=r"is inside .*a\.tar; extract it"):
        viewers.open_hit(hit(f"{tmp_path}/a.tar!b.png"))
    with pytest.raises(QueryError, match="is missing; restore the file"):
        viewers.open_hit(hit(f"{tmp_path}/gone.png"))
    monkeypatch.setattr("typer.launch", lambda target: 1)
    with pytest.raises(QueryError, match="has no viewer"):
        viewers.open_hit(hit("https://example.org/a.png"))


@pytest.mark.parametrize(
    ("terminal", "start"),
    [
        ({"TERM": "xterm-kitty", "KITTY_PID": "1"}, "\x1b_Ga=T"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "\x1b]1337;File=inline=1"),
        ({"TERM": "mlterm"}, "\x1bP0;1;0q"),
        ({"TERM": "xterm-256color"}, None),
    ],
)
def test_pictures_are_drawn_by_the_protocol_of_the_terminal(
    media: Path, terminal: dict[str, str], start: str | None
) -> None:
    pytest.importorskip("chafa")
    code = (
        "import sys; from types import SimpleNamespace as Hit; from cli.inline_images import *\n"
        "from retrieval.types import Medium\n"
        "show = image_printer()\n"
        "hits = [Hit(rank=4, uri=sys.argv[1], modality=Medium.IMAGE)]\n"
        "show(hits) if show else print('none')\n"
    )
    known = {name: value for name, value in os.environ.items() if not name.startswith("TERM")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(media / "red.png")],
        env=known | terminal, capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    if start is None:
        assert done.stdout == "none\n"
    else:
        assert start in done.stdout
        assert done.stdout.splitlines()[-1].strip() == "4"


def test_without_the_library_no_pictures_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline_images, "find_spec", lambda name: None)
    assert inline_images.image_printer() is None


# ---------------------------------------------------------------- a real terminal

PROCESS = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
from support import embed_process
embed_process.use_toys(setattr)
sys.argv = ["retrieval", "search", {collection!r}]
from cli.main import main
main()
"""


class Terminal:
    """A process in a pseudo-terminal, and everything that it printed."""

    def __init__(self, code: str, **environment: str) -> None:
        self.screen, other = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=other, stdout=other, stderr=other,
            env=os.environ | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"} | environment,
            start_new_session=True,
        )  # fmt: skip
        os.close(other)

    def wait_for(self, text: str) -> None:
        """Read until a text was printed since the last call."""
        deadline = time.monotonic() + 120
        while text not in self.text:
            assert time.monotonic() < deadline, self.text
            if select.select([self.screen], [], [], 1)[0]:
                try:
                    self.text += os.read(self.screen, 1 << 16).decode(errors="replace")
                except OSError:  # the process ended
                    assert text in self.text, self.text
        self.text = self.text.partition(text)[2]

    def type(self, text: str) -> None:
        os.write(self.screen, text.encode())


def test_a_terminal_gets_a_prompt_with_history(media: Path, tmp_path: Path) -> None:
    from retrieval.automatic.folder import open_folder

    collection = open_folder(media)
    code = PROCESS.format(
        tests=str(ROOT / "tests"), root=str(ROOT), collection=str(collection.root)
    )
    terminal = Terminal(code, XDG_STATE_HOME=str(tmp_path / "state"))
    try:
        terminal.wait_for("4 items (4 image), 1 space, indexed")
        terminal.wait_for(">")
        terminal.type("red\r")
        terminal.wait_for("red.png")
        terminal.wait_for(">")
        terminal.type('"red" +\r')
        terminal.wait_for("looks like a sum")
        terminal.wait_for(">")
        terminal.type("half a line\x03")  # Ctrl-C gives up the line
        terminal.wait_for(">")
        terminal.type("\x1b[A\x1b[A\r")  # up, up: the query before
        terminal.wait_for("red.png")
        terminal.wait_for(">")
        terminal.type("\x04")
        assert terminal.process.wait(60) == 0
    finally:
        terminal.process.kill()
        os.close(terminal.screen)
    history = tmp_path / "state/retrieval/search-history"
    typed = [line[1:] for line in history.read_text().splitlines() if line.startswith("+")]
    assert typed == ["red", '"red" +', "red"]
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_the_history_is_kept_in_memory_where_it_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cli.interactive import history_file

    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert history_file() is None
