"""Row 28: every command, with escape sequences in names, captions, columns and encoder names."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cli.main
from retrieval.collection import Collection
from retrieval.demo.world import World
from retrieval.embedding.options import EmbedOptions
from support.terminals import read_all

NAME = "red\x1b[2J\x9b31m\x07\n‮gpj.png"
CAPTION = "a \x1b]0;title\x07 caption \x1b[31m"


@pytest.fixture(scope="module")
def hostile(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of two equal pictures with a hostile name, caption and column."""
    folder = tmp_path_factory.mktemp("hostile")
    picture = sorted((world.folder / "images").glob("*.png"))[0].read_bytes()
    for name in (NAME, "2" + NAME):
        (folder / name).write_bytes(picture)
    lines = [
        json.dumps({"path": name, "caption": CAPTION, "note": CAPTION})
        for name in (NAME, "2" + NAME)
    ]
    (folder / "list.jsonl").write_text("\n".join(lines))
    collection = Collection(folder / "c", device="cpu")
    report = collection.add(
        folder / "list.jsonl", options=EmbedOptions(models=("tiny",), device="cpu", workers=0)
    )
    assert report.failed == 0
    return folder


def document(folder: Path, name: str) -> Path:
    path = folder / name
    row = {"suite": CAPTION, "task": CAPTION, "metric": CAPTION, "value": 1.0}
    path.write_text(json.dumps({"machine": {CAPTION: name, "cpu": CAPTION}, "results": [row]}))
    return path


COMMANDS = [
    ("search", "{c}", "a red circle"),
    ("search", "{c}", "a\x1b[31mred"),
    ("search", "{c}", "a red circle", "--format", "json"),
    ("search", "{c}", "a red circle", "--format", "csv"),
    ("search", "{c}", "--queries", "{q}"),
    ("search", "{c}", "--queries", "{q}", "--format", "csv"),
    ("search", "{c}", "@\x1b[31m.png"),
    ("search", "{c}", '"a" - \x1b[31m'),
    ("search", "{c}", "x", "--where", "\x1b[31m = 1"),
    ("search", "{c}", "x", "--ids", "\x1b[31m"),
    ("search", "{c}", "x", "--to", "\x1b[31m"),
    ("search", "\x1b[31m", "x"),
    ("localize", "\x1b[31m.mp4", "x"),
    ("status", "{c}"),
    ("status", "{c}", "--format", "json"),
    ("dups", "{c}"),
    ("dups", "{c}", "--format", "csv"),
    ("dups", "{c}", "--format", "json"),
    ("diff", "{c}", "{c}"),
    ("diff", "{c}", "{c}", "--format", "json"),
    ("classify", "{f}", "--labels", "a \x1b[31m, b", "--model", "tiny", "--workers", "0"),
    ("classify", "{f}", "--labels", "a\x1b[31m, b", "--model", "tiny", "--workers", "0",
     "--format", "csv"),
    ("illustrate", "{t}", "-c", "{c}", "--out", "{f}/story.html"),
    ("embed", "{f}/bad\x1b[31m.png", "-c", "{f}/d", "--model", "tiny", "--workers", "0"),
    ("embed", "\x1b[31m", "-c", "{f}/d", "--model", "tiny"),
    ("estimate", "{f}", "--model", "tiny", "--no-time"),
    ("verify", "{c}"),
    ("export", "{c}", "{f}/out\x1b[31m", "--to", "npy"),
    ("import", "\x1b[31m", "-c", "{f}/d"),
    ("bench", "compare", "{a}", "{b}"),
    ("bench", "compare", "{a}", "{b}", "--format", "json"),
    ("bench", "score", "\x1b[31m", "--predictions", "{q}"),
    ("bench", "score", "qvhighlights", "--predictions", "{q}", "--truth", "{q}"),
    ("bench", "run", "\x1b[31m"),
    ("models", "fetch", "\x1b[31m"),
    ("index", "{c}", "--kind", "\x1b[31m"),
    ("\x1b[31m",),
    ("search", "{c}", "x", "--\x1b[31m"),
]  # fmt: skip


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda a: " ".join(a).encode("unicode_escape"))
def test_field_28_no_command_sends_a_control_character(
    hostile: Path,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (hostile / "q.jsonl").write_text(json.dumps({"qid": CAPTION, "query": CAPTION}) + "\n")
    (hostile / "t.txt").write_text(CAPTION + ".")
    (hostile / "bad\x1b[31m.png").write_bytes(b"\x89PNG broken")
    places = {
        "c": hostile / "c", "f": hostile, "q": hostile / "q.jsonl", "t": hostile / "t.txt",
        "a": document(hostile, "a.json"), "b": document(hostile, "b.json"),
    }  # fmt: skip
    filled = [argument.format(**places) for argument in arguments]
    monkeypatch.setattr(sys, "argv", ["retrieval", *filled])
    try:
        cli.main.main()
    except SystemExit as ended:
        assert ended.code in (None, 0, 1, 2)  # noqa: PT017  # some of them are errors
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        shown = text.replace("\r\n", "\n").replace("\n", "").replace("\t", "")
        assert not [c for c in shown if not c.isprintable()], text
    (hostile / "bad\x1b[31m.png").unlink()


@pytest.mark.long
def test_field_20_paths_of_a_search_are_real(hostile: Path) -> None:
    command = [sys.executable, "-c", "import cli.main; cli.main.main()"]
    search = [*command, "search", hostile / "c", "a red circle", "--format", "paths"]
    folder = os.fsencode(hostile)
    names = {folder + b"/" + os.fsencode(name) for name in (NAME, "2" + NAME)}
    found = subprocess.run([*search, "--print0"], capture_output=True, check=True).stdout
    assert set(found.split(b"\0")[:-1]) == names
    assert all(os.path.isfile(name) for name in names)
    piped = subprocess.run(search, capture_output=True, check=True).stdout
    assert piped == b"".join(name + b"\n" for name in found.split(b"\0")[:-1])


@pytest.mark.long
def test_field_28_a_terminal_receives_no_escape_sequence_of_a_name(hostile: Path) -> None:
    shown, end = pty.openpty()
    command = [sys.executable, "-c", "import cli.main; cli.main.main()"]
    done = subprocess.run(
        [*command, "search", hostile / "c", "a red circle"],
        stdout=end, stderr=end, check=True, env={**os.environ, "COLUMNS": "60"},
    )  # fmt: skip
    assert done.returncode == 0
    os.close(end)
    seen = read_all(shown)
    assert "\x1b[2J" not in seen
    assert "\x1b]0" not in seen
    assert r"\u202egpj.png" in seen
    plain = re.sub(r"\x1b\[[0-9;]*m", "", seen)
    assert max(map(len, plain.split("\r\n"))) <= 60
