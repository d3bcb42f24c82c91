"""`retrieval embed` as people type it: what it says, its exit codes, and how it is interrupted."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from retrieval.collection import Collection
from retrieval.embedding.options import EmbedOptions, EmbedReport
from retrieval.embedding.run import embed
from retrieval.errors import DamagedMediaError
from retrieval.store.reader import Snapshot
from support import embed_process
from support.commands import run


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    embed_process.use_toys(monkeypatch.setattr)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (20, 20), colour).save(folder / f"{colour}.png")
    return folder


def invoke(*arguments: object, stdin: str | bytes | None = None) -> Result:
    more = () if arguments[0] != "embed" else ("--model", "toy:toy", "--workers", "0")
    return CliRunner().invoke(app, [*map(str, arguments), *more], input=stdin)


def names(root: Path) -> list[str]:
    return sorted(Path(uri).name for uri in Snapshot.open(root).known_files())


# ---------------------------------------------------------------- exit codes


def test_field_35_exit_code_0_says_that_a_file_is_in_the_collection(
    media: Path, tmp_path: Path
) -> None:
    (media / "bad.png").write_text("no picture")
    for expected in ("3 items added", "3 unchanged"):
        result = invoke("embed", media, "-c", tmp_path / "c")
        assert (result.exit_code, expected in result.stdout) == (0, True)
        assert "1 failed" in result.stdout


def test_field_35_exit_code_1_says_that_none_is(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.csv").write_text("path\ngone.png\n")
    for source in ("bad.png", "empty", "list.csv"):
        for _ in range(2):
            result = invoke("embed", tmp_path / source, "-c", tmp_path / "c")
            assert (result.exit_code, "0 items added" in result.stdout) == (1, True)


def test_field_35_files_that_no_model_reads_are_not_in_the_collection(
    media: Path, tmp_path: Path
) -> None:
    options = ("--model", "toy:toy-music", "--workers", "0")
    result = CliRunner().invoke(app, ["embed", str(media), "-c", str(tmp_path / "c"), *options])
    assert (result.exit_code, "3 of a modality that no model" in result.stdout) == (1, True)


def test_field_35_with_strict_a_failure_is_an_error(media: Path, tmp_path: Path) -> None:
    (media / "bad.png").write_text("no picture")
    result = invoke("embed", media, "-c", tmp_path / "c", "--strict")
    assert isinstance(result.exception, DamagedMediaError)  # which `main` turns into exit code 2
    assert "without strict" in str(result.exception)
    assert invoke("embed", media, "-c", tmp_path / "c").exit_code == 0


def test_field_35_an_import_of_nothing_has_exit_code_1(tmp_path: Path) -> None:
    import numpy as np

    from retrieval.types import Medium
    from support.vector_items import directions, item_of, write_items

    write_items(tmp_path / "c", [item_of("a.jpg", Medium.IMAGE, directions(1))])
    run("export", tmp_path / "c", tmp_path / "out", "--to", "parquet")
    for _ in range(2):
        assert invoke("import", tmp_path / "out", "-c", tmp_path / "again").exit_code == 0
    np.save(tmp_path / "zeros.npy", np.zeros((2, 256), np.float32))
    result = invoke("import", tmp_path / "zeros.npy", "-c", tmp_path / "z", "--model", "tiny")
    assert (result.exit_code, "2 failed" in result.stdout) == (1, True)


# ---------------------------------------------------------------- which files


def test_field_36_skipped_files_are_reported_by_suffix(media: Path, tmp_path: Path) -> None:
    for name in [*(f"{n}.xyz" for n in range(9)), *(f"{n}.blend" for n in range(3))]:
        (media / name).touch()
    said = invoke("embed", media, "-c", tmp_path / "c").stdout
    assert "12 files passed over: 9 .xyz, 3 .blend\n" in said
    for number in range(10):
        (media / f"a.k{number}").touch()
    said = invoke("embed", media, "-c", tmp_path / "c").stdout
    assert "22 files passed over: 9 .xyz, 3 .blend, 1 .k0, " in said
    assert ", 1 .k5, 4 of other kinds\n" in said
    assert "passed over" not in invoke("embed", media / "red.png", "-c", tmp_path / "c").stdout


def test_field_45_exclude_and_an_ignore_file_leave_files_out(media: Path, tmp_path: Path) -> None:
    invoke("embed", media, "-c", tmp_path / "a", "--exclude", "re*", "--exclude", "*.bmp")
    assert names(tmp_path / "a") == ["blue.png", "green.png"]
    (media / ".retrievalignore").write_text("b*\n")
    invoke("embed", media, "-c", tmp_path / "b")
    assert names(tmp_path / "b") == ["green.png", "red.png"]


@pytest.mark.parametrize("end", ["\n", "\0"])
def test_field_45_paths_come_from_standard_input(media: Path, tmp_path: Path, end: str) -> None:
    listed = [str(media / name) for name in ("red.png", "blue.png", "gone.png")]
    result = invoke("embed", "-", "-c", tmp_path / "c", stdin=end.join(listed) + end)
    assert result.exit_code == 0
    assert "2 items added" in result.stdout
    assert "1 failed" in result.stdout
    assert names(tmp_path / "c") == ["blue.png", "red.png"]


def test_field_45_names_of_standard_input_are_bytes_and_not_patterns(
    media: Path, tmp_path: Path
) -> None:
    (media / "red.png").rename(media / "*.png")
    odd = bytes(media) + b"/odd \xff\n{a,b}.png"
    (media / "blue.png").rename(os.fsdecode(odd))
    given = bytes(media / "*.png") + b"\0" + odd + b"\0"
    result = invoke("embed", "-", "-c", tmp_path / "c", stdin=given)
    assert "2 items added" in result.stdout
    assert names(tmp_path / "c") == ["*.png", "odd %FF\n{a,b}.png"]


# ---------------------------------------------------------------- renamed and missing files


def test_field_19_missing_files_are_reported_with_the_command_that_removes_them(
    media: Path, tmp_path: Path
) -> None:
    command = ("embed", media, "-c", tmp_path / "c")
    invoke(*command)
    (media / "red.png").rename(media / "dogs.png")
    (media / "blue.png").unlink()
    said = invoke(*command).stdout
    assert "1 renamed or moved, not embedded again\n" in said
    assert "1 item whose file is gone; --prune removes it\n" in said
    advice = re.search(r"(--\w+) removes it", said)
    assert advice is not None
    assert "1 removed, because their files are missing" in invoke(*command, advice[1]).stdout
    assert names(tmp_path / "c") == ["dogs.png", "green.png"]
    assert "gone" not in invoke(*command).stdout


def test_field_18_new_captions_are_reported(media: Path, tmp_path: Path) -> None:
    invoke("embed", media, "-c", tmp_path / "c")
    (media / "red.txt").write_text("red")
    said = invoke("embed", media, "-c", tmp_path / "c").stdout
    assert "2 unchanged\n1 with new captions, columns or texts, not embedded again\n" in said


def test_field_01_other_paths_are_reported(media: Path, tmp_path: Path) -> None:
    (media / "link.png").symlink_to("red.png")
    said = invoke("embed", media, "-c", tmp_path / "c").stdout
    assert "1 further names of the same files, as links" in said


# ---------------------------------------------------------------- interrupted runs


def interrupted(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the third item of a run meet Ctrl-C, or what SIGTERM raises."""

    def embed_until(sources, root, options, progress, *, total) -> EmbedReport:
        def stop(task: str, done: float, total: float | None, note: str = "") -> None:
            progress(task, done, total, note)
            if done == 3:
                raise error

        return embed(sources, root, options, stop, total=total)

    monkeypatch.setattr("retrieval.embedding.run.embed", embed_until)


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)], ids=["INT", "TERM"]
)
def test_field_42_an_interrupted_run_reports_what_is_kept_and_how_to_continue(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    command = f"embed {shlex.quote(str(media))} -c {shlex.quote(str(tmp_path / 'c'))}"
    with monkeypatch.context() as patched:
        interrupted(patched, error)
        result = invoke(*shlex.split(command))
    assert result.exit_code == code
    assert f"interrupted; {tmp_path / 'c'} has 3 items, 3 of them new;" in result.stderr
    assert "run the same command again to continue" in result.stderr
    Image.new("RGB", (20, 20), "white").save(media / "white.png")
    result = invoke(*shlex.split(command))
    assert (result.exit_code, "3 unchanged" in result.stdout) == (0, True)
    assert len(names(tmp_path / "c")) == 4


def test_field_42_an_interrupt_before_the_first_item_says_that_nothing_is_kept(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("retrieval.embedding.run.embed", stop)
    result = invoke("embed", media, "-c", tmp_path / "c")
    assert result.exit_code == 130
    assert result.stderr.endswith(f"interrupted; {tmp_path / 'c'} has no items yet\n")


# ---------------------------------------------------------------- what other commands show


def test_field_19_hits_whose_file_is_missing_are_marked(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed([media], tmp_path / "c", EmbedOptions(models=("toy:toy",), workers=0))
    monkeypatch.setattr(
        "retrieval.search.open_collection.load_encoder",
        lambda spec, **_: embed_process.TOYS[spec],
    )
    (media / "red.png").unlink()
    found = json.loads(run("search", tmp_path / "c", "red", "--format", "json"))
    missing = {Path(hit["uri"]).name: hit["missing"] for hit in found["hits"]}
    assert missing == {"red.png": True, "green.png": False, "blue.png": False}
    assert run("search", tmp_path / "c", "red").count("(missing)") == 1
    hits = Collection.open(tmp_path / "c").search("red", k=1)
    assert [hit.missing for hit in hits] == [True]
    table = csv.DictReader(run("search", tmp_path / "c", "red", "--format", "csv").splitlines())
    assert [row["missing"] for row in table] == ["True", "False", "False"]


def test_field_47_a_dry_run_removes_nothing_and_lists_the_items(
    media: Path, tmp_path: Path
) -> None:
    invoke("embed", media, "-c", tmp_path / "c")
    before = (tmp_path / "c/CURRENT").read_bytes()
    result = invoke("remove", tmp_path / "c", "--where", "item_id < 2", "--dry-run")
    assert result.stdout == f"0\t{media}/blue.png\n1\t{media}/green.png\n"
    assert result.stderr == "2 items would be removed\n"
    assert (tmp_path / "c/CURRENT").read_bytes() == before
    collection = Collection.open(tmp_path / "c")
    assert collection.remove(where="item_id < 2", ids=[2, 1], dry_run=True) == 3
    assert len(collection.snapshot.item_ids()) == 3
    assert run("remove", tmp_path / "c", "--where", "item_id < 2").startswith("2 items removed")
    assert names(tmp_path / "c") == ["red.png"]


# ---------------------------------------------------------------- texts


def test_missing_texts_are_reported_with_advice_that_works(media: Path, tmp_path: Path) -> None:
    root = tmp_path / "c"
    assert "without texts" not in invoke("embed", media, "-c", root, "--texts", "none").stdout
    assert "texts       none" in run("status", root)
    stdout = invoke("embed", media, "-c", root).stdout
    advice = "3 items without texts; --refresh reads names, captions, tags and transcripts\n"
    assert advice in stdout
    (option,) = re.findall(r"--[a-z]+", advice)
    assert "3 with new captions, columns or texts, not embedded again\n" in invoke(
        "embed", media, "-c", root, option
    ).stdout  # fmt: skip
    assert "texts       3 (3 name), no index" in run("status", root)
    assert json.loads(run("status", root, "--format", "json"))["texts"] == {"name": 3}
    assert "without texts" not in invoke("embed", media, "-c", root).stdout
    assert "3 unchanged" in invoke("embed", media, "-c", root, option).stdout


def test_an_unknown_source_of_texts_is_refused(media: Path, tmp_path: Path) -> None:
    result = invoke("embed", media, "-c", tmp_path / "c", "--texts", "name, titel")
    assert result.exit_code != 0
    assert not (tmp_path / "c").exists()
