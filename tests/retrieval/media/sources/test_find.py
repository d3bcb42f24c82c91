import os
from pathlib import Path

import pytest

from retrieval.errors import SourceError
from retrieval.media.names import path_to_uri, uri_to_path
from retrieval.media.sources.find import find_sources
from support.media_files import picture_bytes


def names(arguments: list[str], **options: str) -> list[str]:
    return [os.path.basename(source.path) for source in find_sources(arguments, **options)]


def touch(folder: Path, *files: str) -> None:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_folder_yields_its_media_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a.OGG", "notes.txt", "labels.csv", ".hidden.jpg", "z/c.mp4", "d.tar")
    touch(tmp_path, ".cache/e.jpg", "z/x.npy")
    assert names([str(tmp_path)]) == ["a.OGG", "b.jpg", "d.tar", "c.mp4"]


def test_a_file_named_twice_is_listed_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    inside = os.path.join(str(tmp_path), ".", "a.jpg")
    assert names([str(tmp_path), str(tmp_path / "a.jpg"), inside]) == ["a.jpg"]


def test_a_file_of_any_name_is_a_source(tmp_path: Path) -> None:
    touch(tmp_path, "picture.unknown")
    assert names([str(tmp_path / "picture.unknown")]) == ["picture.unknown"]


def test_tar_is_marked(tmp_path: Path) -> None:
    touch(tmp_path, "a.tar", "b.jpg")
    assert [source.is_tar for source in find_sources([str(tmp_path)])] == [True, False]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{08..10}.tar", ["08.tar", "09.tar", "10.tar"]),
        ("{10..08}.tar", ["10.tar", "09.tar", "08.tar"]),
        ("{x,y}.jpg", ["x.jpg", "y.jpg"]),
        ("{x,{y,x1}}.jpg", ["x.jpg", "y.jpg", "x1.jpg"]),
        ("{x,y}{1,2}.jpg", ["x1.jpg", "x2.jpg", "y1.jpg", "y2.jpg"]),
        ("*.jpg", ["x.jpg", "x1.jpg", "x2.jpg", "y.jpg", "y1.jpg", "y2.jpg"]),
        ("{x,y}?.jpg", ["x1.jpg", "x2.jpg", "y1.jpg", "y2.jpg"]),
        ("**/deep.png", ["deep.png"]),
        ("[0]8*", ["08.tar"]),
    ],
)
def test_patterns(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    touch(tmp_path, "x.jpg", "y.jpg", "x1.jpg", "x2.jpg", "y1.jpg", "y2.jpg", "08.txt")
    touch(tmp_path, "08.tar", "09.tar", "10.tar", "s/t/deep.png")
    assert names([str(tmp_path / pattern)]) == expected


def test_existing_names_with_braces_and_brackets_are_not_expanded(tmp_path: Path) -> None:
    touch(tmp_path, "{a,b}.jpg", "[1].jpg")
    arguments = [str(tmp_path / "{a,b}.jpg"), str(tmp_path / "[1].jpg")]
    assert names(arguments) == ["{a,b}.jpg", "[1].jpg"]


def test_a_brace_range_beyond_the_limit_is_refused_without_expanding_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"expand to more than 1,000,000 names"):
        names([str(tmp_path / "{000000000..999999999}.tar")])


def test_missing_argument_fails(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing\.jpg: no such file or folder"):
        names([str(tmp_path / "nothing.jpg")])


def test_pattern_without_match_fails(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no file matches"):
        names([str(tmp_path / "*.jpg")])


# ---------------------------------------------------------------- captions


def test_caption_from_text_beside_the_file(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "a.txt").write_text("  a red circle \n")
    found = {os.path.basename(s.path): s.caption for s in find_sources([str(tmp_path)])}
    assert found == {"a.jpg": "a red circle", "b.jpg": None}


def test_caption_from_the_folders_captions_file(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "sub/b.jpg")
    (tmp_path / "captions.jsonl").write_text('{"file": "a.jpg", "caption": "one"}\n\n')
    (tmp_path / "sub/captions.jsonl").write_text('{"file": "b.jpg", "caption": "two"}\n')
    assert [source.caption for source in find_sources([str(tmp_path)])] == ["one", "two"]


def test_a_text_file_has_precedence_over_the_captions_file(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / "captions.jsonl").write_text('{"file": "a.jpg", "caption": "one"}\n')
    (tmp_path / "a.txt").write_text("two")
    assert [source.caption for source in find_sources([str(tmp_path)])] == ["two"]


def test_long_or_broken_caption_is_cut_and_cleaned(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / "a.txt").write_bytes(b"\xff" + b"x" * 50_000)
    (source,) = find_sources([str(tmp_path)])
    assert source.caption == "ÿ" + "x" * 9_999


def test_captions_file_with_a_broken_line_fails(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / "captions.jsonl").write_text('{"file": "a.jpg", "caption": "one"}\n{"file": 3}\n')
    with pytest.raises(SourceError, match=r"captions\.jsonl, line 2"):
        names([str(tmp_path)])


# ---------------------------------------------------------------- names

STRANGE_NAMES = [
    b"with space.jpg",
    b"new\nline.jpg",
    b"quo\"te's.jpg",
    "émoji 🎵.jpg".encode(),
    b"x" * 251 + b".jpg",
    b"not utf8 \xff\xfe.jpg",
    b"100%25 %FF.jpg",
    b"-dash.jpg",
]


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_fault_27_strange_names_stay_intact(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path, "wb") as file:
        file.write(picture_bytes())
    (source,) = find_sources([str(tmp_path)])
    source.uri.encode("utf-8")
    assert source.uri == path_to_uri(path)
    assert os.fsencode(uri_to_path(source.uri)) == path
    assert os.path.samefile(source.path, path)


def test_fault_27_leading_dash_as_an_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "-dash.jpg")
    monkeypatch.chdir(tmp_path)
    (source,) = find_sources(["-dash.jpg"])
    assert source.path == str(tmp_path / "-dash.jpg")


def test_uri_escapes_percent_and_foreign_bytes_only() -> None:
    assert path_to_uri("/a b/é%\udcff.jpg") == "/a b/é%25%FF.jpg"
    assert uri_to_path("/a b/é%25%FF.jpg") == "/a b/é%\udcff.jpg"


def test_real_folders_have_the_released_files(real_data: Path) -> None:
    folders = ["photos", "photos_labelled", "sounds", "music", "videos"]
    sources = list(find_sources([str(real_data / folder) for folder in folders]))
    assert len(sources) == 537
    captions = {os.path.basename(source.path): source.caption for source in sources}
    assert captions["mmaction2_demo.mp4"] == "two people arm wrestling at a table"
    assert len(list(find_sources([str(real_data / "emoji")]))) == 3_583
