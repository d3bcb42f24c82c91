"""`search FOLDER`: what it prints, Ctrl-C, and the commands that take the folder afterwards."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import cli.media_folder
from cli.hints import one_line
from cli.main import app
from retrieval.errors import (
    CollectionNotFoundError,
    OtherModelError,
    QueryError,
    RetrievalError,
    SourceError,
    WeightsNotAvailableError,
)
from retrieval.store.writer import CollectionWriter
from support.toy_folders import use_toy_folders
from support.toy_runs import COLOURS, pictures


@pytest.fixture
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """red.png, green.png, blue.png and yellow.png, to be embedded by a toy."""
    use_toy_folders(monkeypatch, tmp_path / "data")
    return pictures(tmp_path / "media", *COLOURS)


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, RetrievalError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def found(result: Result) -> list[str]:
    return [Path(line).name for line in result.stdout.splitlines()]


def test_the_first_run_says_what_it_does_and_later_runs_what_changed(
    media: Path, tmp_path: Path
) -> None:
    first = run("search", media, "red", "--format", "paths", "-k", 1)
    assert found(first) == ["red.png"]
    assert f"{media}: 4 images, " in first.stderr
    assert "embedding takes some seconds here, and " in first.stderr
    assert f"in {tmp_path / 'data/retrieval/folders/media-'}" in first.stderr
    assert "Ctrl-C searches what is embedded so far" in first.stderr
    assert "4 new in " in first.stderr
    assert run("search", media, "red").stderr == ""
    (media / "red.png").rename(media / "rose.png")
    (media / "blue.png").unlink()
    later = run("search", media, "red", "--format", "paths")
    assert (found(later)[0], len(found(later))) == ("rose.png", 3)
    assert later.stderr.startswith("1 renamed, 1 removed in ")


def test_commands_take_the_folder_once_it_has_a_collection(media: Path, tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFoundError):
        run("status", media)
    run("search", media, "red")
    assert "items       4 (4 image)" in run("status", media).stdout
    assert run("verify", media).exit_code == 0
    assert found(run("dups", media, "--format", "paths")) == []
    (listed,) = json.loads(run("folders", "list", "--format", "json").stdout)
    assert (listed["folder"], listed["items"], listed["model"]) == (str(media), 4, "toy:toy")
    assert str(media) in run("folders", "list").stdout
    assert "deleted" in run("folders", "remove", media).stdout
    assert not Path(listed["collection"]).exists()
    assert "no folder has an automatic collection" in run("folders", "list").stdout
    assert len(list(media.iterdir())) == 4
    with pytest.raises(CollectionNotFoundError, match="`retrieval folders list` names the folders"):
        run("folders", "remove", media)


def test_the_advice_about_another_model_works(media: Path) -> None:
    run("search", media, "red")
    with pytest.raises(OtherModelError) as refused:
        run("search", media, "red", "--model", "toy:toy-music")
    assert one_line(refused.value).endswith("`retrieval folders remove FOLDER` deletes it")
    run("folders", "remove", media)
    run("search", media, "red", "--model", "toy:toy")


def test_here_keeps_the_collection_inside(media: Path) -> None:
    run("search", media, "red", "--here")
    assert (media / ".retrieval/collection/CURRENT").is_file()
    assert "no folder" in run("folders", "list").stdout
    assert found(run("search", media, "red", "--format", "paths", "-k", 1)) == ["red.png"]
    run("folders", "remove", media)
    assert not (media / ".retrieval").exists()


def test_paths_that_are_no_folder_of_media_are_refused(media: Path, tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match="is not a collection"):
        run("search", tmp_path / "missing", "red")
    with pytest.raises(QueryError, match="--model and --here are for folders of media"):
        run("search", tmp_path / "missing", "red", "--here")
    with pytest.raises(SourceError, match=r"red\.png is a file, expected a collection or a folder"):
        run("search", media / "red.png", "red")
    (tmp_path / "begun/manifests").mkdir(parents=True)
    (tmp_path / "begun/manifests/000001.json").write_text("{}")
    with pytest.raises(CollectionNotFoundError, match="is not a collection"):
        run("search", tmp_path / "begun", "red")


def test_a_bad_query_is_refused_before_anything_is_embedded(media: Path, tmp_path: Path) -> None:
    for arguments in (['"red" +'], ["red", "--ids", tmp_path / "none"], []):
        with pytest.raises(QueryError):
            run("search", media, *arguments)
    assert not (tmp_path / "data").exists()


def test_a_missing_model_is_one_line_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    media = pictures(tmp_path / "media", "red")
    with pytest.raises(WeightsNotAvailableError) as refused:
        run("search", media, "red")
    line = one_line(refused.value)
    assert "retrieval models fetch --yes small" in line
    assert "clap" not in line  # pictures need no model of sound
    assert not (tmp_path / "data").exists()


# ---------------------------------------------------------------- Ctrl-C


def interrupt_at(monkeypatch: pytest.MonkeyPatch, task: str, done: int) -> None:
    """Press Ctrl-C when a task has done so much."""
    monkeypatch.setattr("retrieval.store.pending.SHARD_SECONDS", 0.0)
    monkeypatch.setattr("retrieval.embedding.run.FLUSH_SECONDS", 0.0)

    def press(name: str, count: float, total: float | None, note: str = "") -> None:
        if (name, count) == (task, done):
            os.kill(os.getpid(), signal.SIGINT)

    @contextmanager
    def bar(**options: object) -> Iterator[object]:
        yield press

    monkeypatch.setattr(cli.media_folder, "progress_bar", bar)


def test_ctrl_c_answers_from_what_is_embedded(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, "embedding", 3)
        result = run("search", media, "red", "--format", "paths")
    kept = len(found(result))
    assert result.exit_code == 0
    assert 0 < kept < 4
    assert f"interrupted: searching the {kept} item" in result.stderr
    assert len(found(run("search", media, "red", "--format", "paths"))) == 4


def test_ctrl_c_before_the_first_item_ends_with_130(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, "listing files", 2)
    result = run("search", media, "red")
    assert (result.exit_code, result.stdout) == (130, "")
    assert "interrupted before anything was embedded" in result.stderr


def test_a_second_ctrl_c_ends(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish = CollectionWriter.publish

    def slow(self: CollectionWriter) -> object:
        if self.snapshot is not None:  # the first one asked to keep what is there
            os.kill(os.getpid(), signal.SIGINT)
        return publish(self)

    run("search", media, "red")
    pictures(media, "black", "white")
    interrupt_at(monkeypatch, "embedding", 5)
    monkeypatch.setattr(CollectionWriter, "publish", slow)
    result = run("search", media, "red")
    assert (result.exit_code, result.stdout) == (130, "")


def test_several_folders_are_brought_up_to_date_and_searched_as_one(
    media: Path, tmp_path: Path
) -> None:
    other = pictures(tmp_path / "other", "white", "black")
    (other / "black.png").rename(other / "night.png")
    first = run("search", media, other, "red", "--format", "json", "-k", 9)
    assert "4 new in " in first.stderr
    assert "2 new in " in first.stderr
    hits = json.loads(first.stdout)["hits"]
    assert {Path(hit["uri"]).name: hit["collection"] for hit in hits} == {
        **{f"{colour}.png": str(media) for colour in COLOURS},
        "white.png": str(other),
        "night.png": str(other),
    }
    # Two folders of one automatic collection keep their names and their items.
    (tmp_path / "both").mkdir()
    media.rename(tmp_path / "both" / "a")
    other.rename(tmp_path / "both" / "b")
    run("search", tmp_path / "both", "red")
    inner = run(
        "search", tmp_path / "both" / "a", tmp_path / "both" / "b", "red", "--format", "json"
    )
    names = [hit["collection"] for hit in json.loads(inner.stdout)["hits"]]
    assert sorted(names) == [str(tmp_path / "both" / "a")] * 4 + [str(tmp_path / "both" / "b")] * 2
    status = run("status", tmp_path / "both", tmp_path / "both", "--format", "json")
    assert sum(json.loads(status.stdout)["items"].values()) == 6
