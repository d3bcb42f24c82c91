"""One function exports to every format, and never replaces or half-writes a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

import retrieval
from retrieval.errors import OutputExistsError, QueryError, StorageError
from retrieval.files import writing
from retrieval.timelines.export import WRITERS
from retrieval.timelines.moments import QueryHits
from retrieval.types import Hit, Medium
from support.exports import export_here, hit_of
from support.media_files import picture_bytes, write_tar
from support.numbered_videos import read_frames, write_numbered


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_numbered(tmp_path_factory.mktemp("media") / "v.mp4", 30)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "source" / "p.jpg"
    path.parent.mkdir()
    path.write_bytes(picture_bytes())
    return path


@pytest.mark.parametrize("suffix", WRITERS)
def test_files_are_replaced_on_request_only(tmp_path: Path, video: Path, suffix: str) -> None:
    out = tmp_path / f"x{suffix}"
    hits = [hit_of(video, 0.2, 0.6)]
    first = export_here(hits, out)
    assert [file.path for file in first.files] == [out]
    content = out.read_bytes()
    with pytest.raises(OutputExistsError, match=r"exists; choose another name or replace it"):
        export_here([hit_of(video, 0.4, 0.8)], out)
    assert out.read_bytes() == content
    export_here([hit_of(video, 0.4, 0.8)], out, force=True)
    assert out.read_bytes() != content
    assert os.listdir(tmp_path) == [out.name]


def test_a_folder_is_refused_before_anything_is_written(
    tmp_path: Path, video: Path, picture: Path
) -> None:
    hits = [hit_of(picture, modality=Medium.IMAGE), hit_of(video, 0.2, 0.6, rank=2)]
    out = tmp_path / "clips"
    export_here(hits[1:], out)
    (name,) = os.listdir(out)
    content = (out / name).read_bytes()
    with pytest.raises(OutputExistsError, match=name):
        export_here(hits, out)
    assert os.listdir(out) == [name]
    assert len(export_here(hits, out, force=True).files) == 2
    assert (out / name).read_bytes() == content  # the same clip
    assert sorted(os.listdir(out)) == ["bars_01.jpg", name]


def test_images_are_linked_or_copied(tmp_path: Path, picture: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", {"in/q.png": picture_bytes("PNG")})
    hits = [
        hit_of(picture, modality=Medium.IMAGE),
        hit_of(f"{tar}!in/q.png", rank=2, modality=Medium.IMAGE),
        hit_of(tmp_path / "gone.jpg", rank=3, modality=Medium.IMAGE),
    ]
    for copy in (False, True, False):
        report = export_here(hits, tmp_path / "out", copy=copy, force=True)
        assert [failure.rank for failure in report.failures] == [3]
        first, second = (file.path for file in report.files)
        assert first.is_symlink() is not copy
        assert first.read_bytes() == picture.read_bytes()
        assert not second.is_symlink()
        assert second.read_bytes() == picture_bytes("PNG")
    assert sorted(os.listdir(tmp_path / "out")) == ["bars_01.jpg", "bars_02.png"]
    assert not picture.is_symlink()


def test_an_image_is_never_replaced_by_a_link_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "bars_01.jpg"
    path.write_bytes(picture_bytes())
    report = export_here([hit_of(path, modality=Medium.IMAGE)], f"{tmp_path}/", force=True)
    assert "the image itself" in report.failures[0].reason
    assert path.read_bytes() == picture_bytes()
    assert not path.is_symlink()


@pytest.mark.parametrize("name", ["x.avi", "x.tar.gz", "v1.2"])
def test_unknown_suffixes_are_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(QueryError, match=r"\.mp4 \.otio .* a new folder's name ends with /"):
        export_here([], tmp_path / name)
    assert export_here([hit_of("/gone.mp4", 0, 1)], f"{tmp_path / name}/").failures  # the advice
    assert (tmp_path / name).is_dir()


def test_outputs_that_cannot_be_written_are_refused(tmp_path: Path, video: Path) -> None:
    hits = [hit_of(video, 0.2, 0.6)]
    (tmp_path / "file").touch()
    for out in ("file", "none/clips", "none/x.mp4", "file/x.csv"):
        with pytest.raises(StorageError, match="cannot write"):
            export_here(hits, tmp_path / out)
    assert sorted(os.listdir(tmp_path)) == ["file"]


@pytest.mark.parametrize("name", ["clips", "x.mp4", "x.otio", "x.jpg", "x.webp", "x.csv"])
def test_a_failed_write_leaves_nothing(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "replace", lambda *_: refuse(tmp_path))
    with pytest.raises(StorageError, match="no space left"):
        export_here([hit_of(video, 0.2, 0.6)], tmp_path / name)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_nothing_to_export_writes_nothing(tmp_path: Path) -> None:
    for suffix in WRITERS:
        assert export_here([], tmp_path / f"x{suffix}").files == ()
        if suffix not in (".csv", ".vtt"):
            report = export_here([hit_of("/gone.mp4", 0, 1)], tmp_path / f"x{suffix}")
            assert (report.files, len(report.failures)) == ((), 1)
    assert os.listdir(tmp_path) == []


def test_the_python_function_takes_hits_and_answers(tmp_path: Path, video: Path) -> None:
    """In a worker process, as by default."""
    hits: tuple[Hit, ...] = (hit_of(video, 0.2, 0.6),)
    seen: list[tuple[str, float, float | None]] = []
    report = retrieval.export_hits(
        hits, tmp_path / "a", pad_seconds=0.1,
        progress=lambda task, done, total, note="": seen.append((task, done, total)),
    )  # fmt: skip
    assert [file.path.name for file in report.files] == ["01_00-00-00.100.mp4"]
    assert [number for _, number in read_frames(report.files[0].path)] == list(range(3, 18))
    assert (seen[0], seen[-1]) == (("exporting", 0, 1), ("exporting", 1, 1))
    answers = [QueryHits("a", hits), QueryHits("b", hits)]
    report = retrieval.export_hits(answers, tmp_path / "b.csv")
    assert len((tmp_path / "b.csv").read_text().splitlines()) == 3
    report = retrieval.export_hits(answers[0], tmp_path / "c.m3u8")
    assert "a · 1 · v.mp4" in (tmp_path / "c.m3u8").read_text()
    with pytest.raises(QueryError, match="expected hits"):
        retrieval.export_hits(["a"], tmp_path / "d.csv")  # type: ignore[list-item]


def test_sheets_show_the_middle_frame(tmp_path: Path) -> None:
    colours = [(220, 30, 30), (30, 200, 30), (30, 30, 220)]
    frames = [Image.new("RGB", (64, 36), colour) for colour in colours]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=1_000)
    hits = [hit_of(tmp_path / "a.gif", 0.0, 3.0), hit_of("/gone.mp4", 0, 1, rank=2, score=None)]
    report = export_here(hits, tmp_path / "s.jpg")
    assert len(report.failures) == 1
    with Image.open(tmp_path / "s.jpg") as sheet:
        from retrieval.timelines.sheets.layout import SHEET

        assert sheet.width == SHEET.width
        x, y = SHEET.margin + SHEET.cell_width // 2, SHEET.margin + SHEET.heading + 90
        red, green, blue = sheet.getpixel((x, y))  # type: ignore[misc]
        assert green > 150 > 90 > max(red, blue)
