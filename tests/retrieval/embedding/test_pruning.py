"""What a run counts: items whose files are gone, and are pruned; items it has; files it passed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval.embedding.options import EmbedReport
from retrieval.media.sources import folders
from retrieval.store.reader import Snapshot
from retrieval.types import Medium
from support.media_files import picture_bytes, write_tar
from support.toy_runs import counts, ids, pictures


def test_field_19_missing_files_are_counted_and_pruned(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    pictures(tmp_path / "else", "white", "black")
    run(media, tmp_path / "else")
    for path in (media / "red.png", tmp_path / "else/black.png"):
        path.unlink()
    assert counts(run(media)) == {"unchanged": 3, "gone": 1}
    assert "media/red.png" in ids(tmp_path)
    assert counts(run(media, prune=True)) == {"unchanged": 3, "pruned": 1}
    assert ids(tmp_path).keys() == {
        "media/blue.png", "media/green.png", "media/yellow.png", "else/black.png",
        "else/white.png",
    }  # fmt: skip
    assert counts(run(media, prune=True)) == {"unchanged": 3}
    assert counts(run(tmp_path / "else/*.png", prune=True)) == {"unchanged": 1, "pruned": 1}


def test_field_19_prune_follows_renames_first_and_keeps_excluded_files(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    run(media)
    (media / "red.png").rename(media / "z.png")
    assert counts(run(media, prune=True, exclude=("blue*",))) == {"unchanged": 2, "renamed": 1}
    assert ids(tmp_path).keys() == {f"media/{n}.png" for n in ("blue", "green", "yellow", "z")}


def test_field_19_prune_removes_missing_rows_of_lists_and_members_of_tars(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    (tmp_path / "list.csv").write_text("path\nmedia/red.png\nmedia/blue.png\n")
    write_tar(tmp_path / "a.tar", {f"{n}.png": picture_bytes("PNG", n) for n in range(3)})
    sources = (tmp_path / "list.csv", tmp_path / "a.tar")
    run(*sources)
    (media / "red.png").unlink()
    write_tar(tmp_path / "a.tar", {"1.png": picture_bytes("PNG", 1), "2.png": b"broken"})
    report = run(*sources)
    assert counts(report) == {"unchanged": 2, "failed": 2, "gone": 2}
    assert counts(run(*sources, prune=True))["pruned"] == 2
    # The member that cannot be read any more is still there.
    assert ids(tmp_path).keys() == {"media/blue.png", "a.tar!1.png", "a.tar!2.png"}


def test_field_19_inaccessible_files_are_not_missing(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(media / "closed", "white")
    run(media)
    real_scandir, real_stat = os.scandir, os.stat

    def refuse(path: object) -> None:
        if "closed" in str(path):
            raise PermissionError(13, "Permission denied", path)

    with monkeypatch.context() as patched:
        patched.setattr(folders.os, "scandir", lambda p: refuse(p) or real_scandir(p))
        patched.setattr(os, "stat", lambda p, **how: refuse(p) or real_stat(p, **how))
        report = run(media, prune=True)
    assert counts(report) == {"unchanged": 4, "failed": 1}
    assert len(ids(tmp_path)) == 5
    assert counts(run(media)) == {"unchanged": 5}
    assert Snapshot.open(tmp_path / "c").failures() == {}


def test_field_35_all_items_in_the_collection_count(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    assert run(media).in_collection == 4
    (media / "red.png").rename(media / "r.png")
    (media / "blue.txt").write_text("blue")
    assert run(media).in_collection == 4
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/bad.png").write_text("no picture")
    report = run(tmp_path / "bad")
    assert (report.in_collection, report.failed, report.seen) == (0, 1, 1)
    assert report.added[Medium.IMAGE] == 0


def test_field_36_skipped_files_are_in_the_report(
    media: Path, run: Callable[..., EmbedReport]
) -> None:
    for name in ("a.xyz", "b.xyz", "c.blend"):
        (media / name).touch()
    assert run(media).passed_over == {".xyz": 2, ".blend": 1}
