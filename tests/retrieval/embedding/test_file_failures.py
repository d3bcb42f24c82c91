"""Single files that a run cannot use fail alone, and are recorded as long as they fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from retrieval.embedding.options import EmbedReport
from retrieval.errors import DamagedMediaError
from retrieval.store.reader import Snapshot
from support.media_files import write_video
from support.special_files import MAKERS
from support.toy_runs import counts, current, ids, pictures


def test_field_03_rows_of_missing_files_fail_in_every_run_and_the_others_are_embedded(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    table = tmp_path / "list.csv"
    table.write_text("path\nmedia/gone.png\nmedia/red.png\n")
    report = run(table)
    assert counts(report) == {"added": 1, "failed": 1}
    assert report.failures[0].uri == str(media / "gone.png")
    assert report.failures[0].reason.startswith("No such file or directory; ")
    before = current(tmp_path)
    assert counts(run(table)) == {"unchanged": 1, "failed": 1}
    assert current(tmp_path) == before
    (tmp_path / "second.csv").write_text("path\nmedia/gone.png\nmedia/blue.png\n")
    assert counts(run(tmp_path / "second.csv")) == {"added": 1, "failed": 1}
    pictures(media, "white")
    (media / "white.png").rename(media / "gone.png")
    assert counts(run(table)) == {"unchanged": 1, "added": 1}
    assert Snapshot.open(tmp_path / "c").failures() == {}


def test_field_03_dangling_links_fail_until_their_target_exists(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    (media / "link.png").symlink_to(tmp_path / "later.png")
    (media / "loop.png").symlink_to("loop.png")
    assert counts(run(media)) == {"added": 4, "failed": 2}
    assert counts(run(media)) == {"unchanged": 4, "failed": 2}
    (media / "loop.png").unlink()
    Image.new("RGB", (20, 20), "white").save(tmp_path / "later.png")
    assert counts(run(media)) == {"unchanged": 4, "added": 1}
    assert Snapshot.open(tmp_path / "c").failures() == {}


@pytest.mark.parametrize("known", [False, True])
def test_field_03_a_file_deleted_after_it_was_listed_fails_alone(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], known: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if known:
        run(media)

    import retrieval.embedding.run

    real = retrieval.embedding.run.find_sources

    def find_and_delete(*arguments: object, **options: object):
        for source in real(*arguments, **options):
            if source.path.endswith("green.png"):
                os.unlink(source.path)
            yield source

    monkeypatch.setattr(retrieval.embedding.run, "find_sources", find_and_delete)
    report = run(media)
    rest = {"unchanged": 3, "failed": 1, "gone": 1} if known else {"added": 3, "failed": 1}
    assert counts(report) == rest
    monkeypatch.undo()


def test_field_03_with_strict_a_missing_file_ends_the_run(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    (tmp_path / "list.csv").write_text("path\nmedia/gone.png\n")
    for _ in range(2):
        with pytest.raises(DamagedMediaError, match=r"gone\.png: No such file"):
            run(tmp_path / "list.csv", strict=True)


def test_field_06_bad_rows_are_recorded_until_they_are_corrected(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    table = tmp_path / "rows.jsonl"
    table.write_text('{"path": null}\n{"path": "media/red.png"}\n{"path": 1}\n')
    assert counts(run(table)) == {"added": 1, "failed": 2}
    before = current(tmp_path)
    assert counts(run(table)) == {"unchanged": 1, "failed": 2}
    assert current(tmp_path) == before
    failures = Snapshot.open(tmp_path / "c").failures()
    assert list(failures) == [f"{table}#row=1", f"{table}#row=3"]
    table.write_text('{"path": null}\n{"path": "media/red.png"}\n')
    assert counts(run(table)) == {"unchanged": 1, "failed": 1}
    assert list(Snapshot.open(tmp_path / "c").failures()) == [f"{table}#row=1"]
    with pytest.raises(DamagedMediaError, match="row 1: path is None"):
        run(table, strict=True)


@pytest.mark.parametrize("noun", MAKERS)
def test_field_08_media_that_are_not_files_fail_in_every_run(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], noun: str
) -> None:
    MAKERS[noun](tmp_path / "x.png")
    (tmp_path / "list.csv").write_text("path\nx.png\nmedia/red.png\n")
    report = run(tmp_path / "list.csv")
    assert counts(report) == {"added": 1, "failed": 1}
    assert report.failures[0].reason == f"is {noun}, expected a regular file; leave it out"
    before = current(tmp_path)
    assert counts(run(tmp_path / "list.csv")) == {"unchanged": 1, "failed": 1}
    assert current(tmp_path) == before


def test_field_03_a_known_file_that_turned_bad_is_tried_once(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(media)
    (media / "red.png").write_text("no picture any more")
    assert counts(run(media)) == {"unchanged": 3, "failed": 1}
    before = current(tmp_path)
    monkeypatch.setattr("retrieval.embedding.run.decode_all", lambda sources, *_, **__: sources)
    assert counts(run(media)) == {"unchanged": 3, "failed": 1}
    assert current(tmp_path) == before
    assert "media/red.png" in ids(tmp_path)  # what it showed before stays


def test_field_03_the_failure_of_a_deleted_file_is_resolved(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    (media / "bad.png").write_text("no picture")
    assert counts(run(media)) == {"added": 4, "failed": 1}
    (media / "bad.png").unlink()
    assert counts(run(media)) == {"unchanged": 4}
    assert Snapshot.open(tmp_path / "c").failures() == {}


def test_field_07_a_video_that_lasts_for_a_year_is_stored(
    tmp_path: Path, run: Callable[..., EmbedReport]
) -> None:
    """Its last span is shorter than the distance of neighbouring float32 numbers."""
    path = write_video(tmp_path / "year.mkv", [0, 4, 8], times_ms=[0, 500, 30_000_000_000])
    assert counts(run(path)) == {"added": 1}
    snapshot = Snapshot.open(tmp_path / "c")
    rows = snapshot.item_segments(snapshot.spaces[0].name, 0)
    assert rows.start_seconds[-1] == pytest.approx(30_000_000, abs=2)
    assert (rows.end_seconds > rows.start_seconds).all()
