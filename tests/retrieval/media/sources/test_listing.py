"""Which files a run sees: each once, without those that are excluded, and failures one by one."""

import os
from pathlib import Path

import pytest

from retrieval.errors import SourceError
from retrieval.media.sources import folders
from retrieval.media.sources.find import find_sources
from retrieval.media.sources.listing import Listing, LiteralPaths
from retrieval.types import Failure
from support.special_files import MAKERS


def touch(folder: Path, *files: str) -> None:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def names(*arguments: str | Path | LiteralPaths, listing: Listing | None = None) -> list[str]:
    given = [each if isinstance(each, LiteralPaths) else str(each) for each in arguments]
    return [os.path.basename(source.path) for source in find_sources(given, listing=listing)]


def collecting(**options: object) -> tuple[Listing, list[Failure]]:
    failures: list[Failure] = []
    return Listing(on_failure=failures.append, **options), failures  # type: ignore[arg-type]


# ---------------------------------------------------------------- one file, several paths


def test_field_01_links_and_other_names_of_a_file_are_listed_once(tmp_path: Path) -> None:
    touch(tmp_path, "owl.jpg", "z.jpg")
    (tmp_path / "best.jpg").symlink_to("owl.jpg")
    (tmp_path / "hard.jpg").hardlink_to(tmp_path / "owl.jpg")
    listing = Listing()
    assert names(tmp_path, listing=listing) == ["hard.jpg", "z.jpg"]
    hard = str(tmp_path / "hard.jpg")
    assert listing.other_paths == {hard: [str(tmp_path / "owl.jpg"), str(tmp_path / "best.jpg")]}


def test_field_01_a_link_is_listed_by_its_path_if_its_file_is_not_a_source(
    tmp_path: Path,
) -> None:
    touch(tmp_path, "elsewhere/3f9a.bin", "p/b.jpg")
    for name in ("a.jpg", "c.jpg"):
        (tmp_path / "p" / name).symlink_to(tmp_path / "elsewhere/3f9a.bin")
    listing = Listing()
    assert names(tmp_path / "p", listing=listing) == ["b.jpg", "a.jpg"]
    assert listing.other_paths == {str(tmp_path / "p/a.jpg"): [str(tmp_path / "p/c.jpg")]}


def test_field_01_a_folder_reached_by_two_paths_is_listed_once(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.jpg", "real/b.jpg")
    (tmp_path / "link").symlink_to("real")
    listing = Listing()
    assert names(tmp_path / "link", tmp_path / "real", listing=listing) == ["a.jpg", "b.jpg"]
    assert listing.other_paths[str(tmp_path / "link/a.jpg")] == [str(tmp_path / "real/a.jpg")]


def test_field_01_a_path_given_twice_is_one_path(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / "list.csv").write_text("path\na.jpg\n./a.jpg\n")
    listing = Listing()
    assert names(tmp_path, tmp_path / "list.csv", tmp_path / "a.jpg", listing=listing) == ["a.jpg"]
    assert listing.other_paths == {}


def test_field_01_copies_are_separate_files(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"the same")
    assert names(tmp_path) == ["a.jpg", "b.jpg"]


def test_field_01_every_dangling_link_is_listed(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).symlink_to("nothing.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    assert names(tmp_path) == ["a.jpg", "b.jpg", "loop.jpg"]


# ---------------------------------------------------------------- failures


def test_field_06_bad_rows_are_failures_and_the_others_are_listed(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "rows.jsonl").write_text(
        '{"path": null}\n{"path": "a.jpg"}\nnot json\n{"path": 3}\n[]\n{"path": "b.jpg"}\n'
    )
    (tmp_path / "rows.csv").write_text("path,year\nc.jpg,1\nb.jpg,2,3\n,4\n")
    listing, failures = collecting()
    found = names(tmp_path / "rows.jsonl", tmp_path / "rows.csv", listing=listing)
    assert found == ["a.jpg", "b.jpg", "c.jpg"]
    jsonl, table = (str(tmp_path / name) for name in ("rows.jsonl", "rows.csv"))
    assert [failure.uri for failure in failures] == [
        *(f"{jsonl}#row={number}" for number in (1, 3, 4, 5)),
        *(f"{table}#row={number}" for number in (2, 3)),
    ]
    assert failures[0].reason.startswith(f"{jsonl}, row 1: path is None, expected the path")
    assert failures[4].reason.startswith(f"{table}, row 2: 3 fields, expected 2")
    assert listing.finished_lists == [jsonl, table]


def test_field_06_without_a_callback_the_first_bad_row_raises(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"path": "a.jpg"}\n{"path": null}\n')
    with pytest.raises(SourceError, match="row 2: path is None"):
        names(tmp_path / "rows.jsonl")


def test_field_06_a_list_without_files_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "numbers.csv").write_text("x,y\n" + "1,2\n" * 1_000)
    listing, _ = collecting()
    with pytest.raises(SourceError, match="row 1: found the columns x, y"):
        names(tmp_path / "numbers.csv", listing=listing)


def test_field_06_a_broken_list_is_one_failure_and_other_sources_are_read(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / "rows.csv").write_text('path\na.jpg\n"unfinished\n')
    (tmp_path / "rows.parquet").write_text("no Parquet")
    listing, failures = collecting()
    lists = [tmp_path / "rows.csv", tmp_path / "rows.parquet"]
    assert names(*lists, tmp_path / "a.jpg", listing=listing) == ["a.jpg"]
    assert [failure.uri for failure in failures] == [str(path) for path in lists]
    assert listing.finished_lists == []


@pytest.mark.parametrize("noun", sorted(MAKERS.keys() - {"a folder"}))  # which is walked
def test_field_08_a_list_that_is_not_a_file_ends_the_run(tmp_path: Path, noun: str) -> None:
    MAKERS[noun](tmp_path / "rows.csv")
    with pytest.raises(SourceError, match=f"is {noun}, expected a regular file"):
        names(tmp_path / "rows.csv", listing=collecting()[0])


def test_field_06_an_unreadable_folder_is_one_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a/1.jpg", "closed/2.jpg", "z/3.jpg")
    real = os.scandir

    def scandir(path: str) -> object:  # root may read everything
        if os.path.basename(path) == "closed":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(folders.os, "scandir", scandir)
    listing, failures = collecting()
    assert names(tmp_path, listing=listing) == ["1.jpg", "3.jpg"]
    assert [failure.uri for failure in failures] == [str(tmp_path / "closed")]
    assert failures[0].reason.endswith("closed: Permission denied; make it readable or exclude it")
    with pytest.raises(SourceError, match="closed: Permission denied"):
        names(tmp_path)
    with pytest.raises(SourceError, match="closed: Permission denied"):
        names(tmp_path / "closed", listing=listing)


def test_field_06_a_bad_line_of_captions_fails_once_and_the_files_are_listed(
    tmp_path: Path,
) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "captions.jsonl").write_text('{"file": "a.jpg"}\n')
    listing, failures = collecting()
    assert names(tmp_path, listing=listing) == ["a.jpg", "b.jpg"]
    assert {failure.uri for failure in failures} == {str(tmp_path / "captions.jsonl")}


# ---------------------------------------------------------------- files passed over


def test_field_36_other_files_of_folders_are_counted_by_suffix(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{n}.xcf" for n in range(3)), "sub/a.XCF", "b.blend", "c.jpg", "README")
    touch(tmp_path, ".hidden.xcf", ".cache/d.xcf", "c.txt", "captions.jsonl", "alone.txt")
    touch(tmp_path, "odd.\x1b[31m", "list.csv")
    (tmp_path / "captions.jsonl").write_text("")
    (tmp_path / "to-sub").symlink_to("sub")
    listing = Listing()
    assert names(tmp_path, listing=listing) == ["c.jpg"]
    assert listing.skipped == {
        ".xcf": 4, ".blend": 1, "without a suffix": 1, ".txt": 1, ".csv": 1, "of other kinds": 1,
        "links to folders": 1,
    }  # fmt: skip


def test_field_36_collections_are_skipped(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "library/CURRENT", "library/manifests/000001.json")
    touch(tmp_path, "library/items/00000.parquet", "new/.lock.holder", "new/items/x.parquet")
    listing = Listing()
    assert names(tmp_path, listing=listing) == ["a.jpg"]
    assert not listing.skipped


def test_field_36_patterns_count_skipped_files(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.xcf")
    listing = Listing()
    assert names(tmp_path / "*", listing=listing) == ["a.jpg"]
    assert listing.skipped == {".xcf": 1}


# ---------------------------------------------------------------- excluded files


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["*.png"], ["a.jpg", "s.jpg", "t.jpg"]),
        (["sub/"], ["a.jpg", "b.png"]),
        (["/s.jpg"], ["a.jpg", "b.png", "s.jpg", "t.jpg"]),
        (["/sub/s.jpg"], ["a.jpg", "b.png", "t.jpg"]),
        (["**/deep"], ["a.jpg", "b.png", "s.jpg"]),
        (["*.jpg", "!t.jpg"], ["b.png", "t.jpg"]),
        (["# a comment", "", "[ab].*"], ["s.jpg", "t.jpg"]),
    ],
)
def test_field_45_excluded_files_are_left_out(
    tmp_path: Path, patterns: list[str], left: list[str]
) -> None:
    touch(tmp_path, "a.jpg", "b.png", "sub/s.jpg", "sub/deep/t.jpg")
    listing = Listing(tuple(patterns))
    assert names(tmp_path, listing=listing) == left
    assert not listing.skipped
    (tmp_path / ".retrievalignore").write_text("\n".join(patterns))
    assert names(tmp_path) == left


def test_field_45_ignore_files_hold_below_their_folder_and_the_inner_one_decides(
    tmp_path: Path,
) -> None:
    touch(tmp_path, "a.png", "x/a.png", "x/b.png", "x/y/a.png", "z/b.png")
    (tmp_path / ".retrievalignore").write_text("*.png\n")
    (tmp_path / "x/.retrievalignore").write_text("!a.png\n/y/\n")
    found = [s.path for s in find_sources([str(tmp_path)])]
    assert found == [str(tmp_path / "x/a.png")]
    # What the user excludes no file takes back; a file that is named is still taken.
    assert names(tmp_path, listing=Listing(("a.png",))) == []
    assert names(tmp_path / "z/b.png") == ["b.png"]


def test_field_45_patterns_hold_for_lists_patterns_and_single_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.gif", "b.jpg", "sub/c.jpg")
    (tmp_path / "list.csv").write_text("path\na.gif\nb.jpg\nsub/c.jpg\n")
    monkeypatch.chdir(tmp_path)
    for sources in (["list.csv"], ["{a,b}.*", "sub/*.jpg"], ["a.gif", "b.jpg", "sub/c.jpg"]):
        assert names(*sources, listing=Listing(("*.gif", "/sub/"))) == ["b.jpg"]


def test_field_45_an_unreadable_ignore_file_excludes_its_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "private/b.jpg")
    (tmp_path / "private/.retrievalignore").write_bytes(b"\xff\xfe")
    listing, failures = collecting()
    assert names(tmp_path, listing=listing) == ["a.jpg"]
    assert [failure.uri for failure in failures] == [str(tmp_path / "private")]
    assert "not UTF-8" in failures[0].reason


def test_field_45_an_invalid_pattern_fails(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"'!': not a pattern in the syntax of \.gitignore"):
        names(tmp_path, listing=Listing(("!",)))


# ---------------------------------------------------------------- paths that mean themselves


def test_field_45_paths_are_not_patterns_and_may_be_folders_and_lists(tmp_path: Path) -> None:
    touch(tmp_path, "{a,b}.jpg", "*.jpg", "sub/c.jpg", "new\nline.jpg")
    (tmp_path / "list.csv").write_text("path\nsub/d.jpg\n")
    given = ["{a,b}.jpg", "*.jpg", "sub", "list.csv", "new\nline.jpg", "gone.jpg"]
    paths = LiteralPaths([str(tmp_path / name) for name in given])
    assert names(paths) == ["{a,b}.jpg", "*.jpg", "c.jpg", "d.jpg", "new\nline.jpg", "gone.jpg"]


def test_coverage_of_the_sources(tmp_path: Path) -> None:
    touch(tmp_path, "p/a.jpg", "q/b.jpg", "r%/c.jpg")
    listing = Listing()
    names(tmp_path / "p", tmp_path / "q/*.jpg", tmp_path / "r%", listing=listing)
    covers = listing.coverage()
    for uri, covered in {
        "p/gone.jpg": True, "p/x/gone.png": True, "p2/gone.jpg": False, "q/gone.jpg": True,
        "q/gone.png": False, "q/x/gone.jpg": False, "r%25/c.jpg": True, "r%/c.jpg": False,
    }.items():  # fmt: skip
        assert covers(f"{tmp_path}/{uri}") is covered, uri
