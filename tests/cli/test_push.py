"""`push`, and `search` of an address."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("qdrant_client")

import cli.push
from cli.main import main
from retrieval.collection import Collection
from retrieval.errors import QueryError
from support.commands import run
from support.served_toys import embed_toys, write_media


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("library")
    with pytest.MonkeyPatch.context() as patch:
        root = embed_toys(write_media(folder / "media"), folder / "library", patch.setattr)
        Collection(root, device="cpu").index()
        yield root


def test_push_and_search(library: Path, tmp_path: Path) -> None:
    """The answers of the collection, from its address."""
    place = f"qdrant+file:{tmp_path / 'q'}"
    address = f"{place}#library"
    pushed = run("push", library, "--to", place)
    assert pushed.splitlines()[-1] == address
    assert "14 points (14 sent) in library-" in pushed
    assert "14 points (0 sent)" in run("push", library, "--to", address, "--keep", 1)
    options = ("--text", "off", "--format", "json", "-k", 4, "--to", "image")
    for query in ("red", "a blue picture"):
        for more in ((), ("--where", "width > 40"), ("--offset", 2), ("--cutoff",)):
            found = json.loads(run("search", address, query, *options, *more))
            expected = json.loads(run("search", library, query, *options, *more))
            assert found["took_ms"].keys() == expected["took_ms"].keys()
            assert found["hits"] == expected["hits"]
    table = run("search", address, "red", "-k", 3)
    assert "red.png" in table
    moments = ("search", address, "white", "--to", "moment", "--collection", library)
    assert "film.mp4" in run(*moments, "--format", "paths")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("search", "library", "red", "--collection", "x"), "--collection names the folder of an"),
        (("search", "qdrant://h/a", "red", "--here"), "--model and --here are for folders"),
        (("search", "qdrant://h/a", "red", "--model", "x"), "--model and --here are for folders"),
        (("search", "qdrant://h/a?key=b", "red"), "comes from the environment variable"),
    ],
)
def test_options_that_do_not_go_together(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        run(*arguments)


def test_errors_are_one_line(
    library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["retrieval", "push", str(library), "--to", "qdrant://127.0.0.1:1/a"]
    )
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("retrieval: no Qdrant server answers at 127.0.0.1:1 (")


def test_an_interrupted_push_says_how_to_continue(
    library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*given: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("retrieval.engines.qdrant.push.push", interrupted)
    with pytest.raises(SystemExit) as caught:
        cli.push.push(library, "qdrant://host", 2, False)
    assert caught.value.code == 130
    assert "run the same command again to continue" in capsys.readouterr().err
