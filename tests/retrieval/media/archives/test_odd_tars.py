"""Tars in tars, compressed ones, and members with dots in their names."""

import bz2
import gzip
import json
import lzma
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from retrieval.media.archives.members import list_members, open_member
from retrieval.media.archives.tar import open_members
from retrieval.media.archives.tar_index import TarIndex, TarText
from retrieval.media.names import container_of, is_tar_name
from retrieval.media.sources.find import find_sources
from retrieval.types import Failure
from support.media_files import picture_bytes, write_tar

PICTURE = picture_bytes("PNG")


COMPRESSORS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("a.TAR", bytes),
    ("a.tar.gz", gzip.compress),
    ("a.tgz", gzip.compress),
    ("a.tar", gzip.compress),
    ("a.tar.bz2", bz2.compress),
    ("a.tar.xz", lzma.compress),
    ("a.tar.zst", lambda content: pa.compress(content, "zstd", asbytes=True)),
]


def read(path: Path) -> tuple[dict[str, tuple[str | None, dict[str, object]]], dict[str, str]]:
    """Captions and columns of the media by member, and the reasons of the failures."""
    (source,) = find_sources([str(path)])
    media, failures = {}, {}
    for found in open_members(source):
        name = found.uri.removeprefix(source.uri)
        if isinstance(found, Failure):
            failures[name] = found.reason
        else:
            assert found.file.read() == PICTURE
            media[name] = (found.caption, dict(found.columns))
    return media, failures


def tar_bytes(tmp_path: Path, content: dict[str, bytes]) -> bytes:
    return write_tar(tmp_path / "made.tar", content).read_bytes()


@pytest.mark.parametrize(("name", "compress"), COMPRESSORS, ids=[c[0] for c in COMPRESSORS])
def test_field_39_compressed_tars_are_read(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    content = {"x/a.jpg": PICTURE, "x/a.txt": b"one", "b.png": PICTURE}
    path = tmp_path / "in" / name
    path.parent.mkdir()
    path.write_bytes(compress(tar_bytes(tmp_path, content)))
    assert read(path) == ({"!x/a.jpg": ("one", {}), "!b.png": (None, {})}, {})
    assert [source.path for source in find_sources([str(path.parent)])] == [str(path)]
    assert list(list_members(str(path))) == [
        (member, len(data)) for member, data in content.items()
    ]
    with open_member(str(path), "b.png") as file:
        assert file.read() == PICTURE
        assert file.seek(0) == 0


def test_field_39_tars_in_tars_are_read_two_deep(tmp_path: Path) -> None:
    content = {"deep.jpg": PICTURE, "deep.txt": b"deep"}
    for depth in range(3):
        inner = tar_bytes(tmp_path, content)
        packed = gzip.compress(inner) if depth == 1 else inner
        extension = "tar.gz" if depth == 1 else "tar"
        content = {f"in{depth}.{extension}": packed, f"{depth}.jpg": PICTURE, f"{depth}.txt": b"x"}
    outer = write_tar(tmp_path / "outer.tar", content)
    media, failures = read(outer)
    assert media == {
        "!in2.tar!in1.tar.gz!0.jpg": ("x", {}),
        "!in2.tar!1.jpg": ("x", {}),
        "!2.jpg": ("x", {}),
    }
    assert list(failures) == ["!in2.tar!in1.tar.gz!in0.tar"]
    assert "more than 2 deep" in failures["!in2.tar!in1.tar.gz!in0.tar"]
    uri = f"{outer}!in2.tar!in1.tar.gz!0.jpg"
    assert container_of(uri) == (str(outer), "in2.tar!in1.tar.gz!0.jpg")
    with open_member(str(outer), "in2.tar!in1.tar.gz!0.jpg") as file:
        assert file.read() == PICTURE


@pytest.mark.parametrize(("name", "compress"), COMPRESSORS[1:], ids=[c[0] for c in COMPRESSORS[1:]])
def test_field_39_a_truncated_compressed_tar_is_a_failure(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "in" / name
    path.parent.mkdir()
    packed = compress(tar_bytes(tmp_path, {f"{n}.jpg": PICTURE for n in range(3)}))
    path.write_bytes(packed[: len(packed) // 2])
    _, failures = read(path)
    assert "" in failures
    assert "breaks off" in failures[""]


def pack_each_member(tmp_path: Path) -> tuple[bytes, bytes]:
    first = tar_bytes(tmp_path, {"a.jpg": PICTURE, "b.txt": b"two"})
    return first, tar_bytes(tmp_path, {"b.jpg": PICTURE, "a.txt": b"one"})


@pytest.mark.parametrize("each", [True, False])
@pytest.mark.parametrize(("name", "compress"), COMPRESSORS, ids=[c[0] for c in COMPRESSORS])
def test_field_39_joined_tars_are_read_to_the_end(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes], each: bool
) -> None:
    parts = pack_each_member(tmp_path)
    path = tmp_path / "in" / name
    path.parent.mkdir()
    joined = b"".join(compress(part) for part in parts) if each else compress(b"".join(parts))
    path.write_bytes(joined)
    assert read(path) == ({"!a.jpg": ("one", {}), "!b.jpg": ("two", {})}, {})
    with open_member(str(path), "b.jpg") as file:
        assert file.read() == PICTURE


def test_field_39_members_after_zeros_and_in_nested_joined_tars(tmp_path: Path) -> None:
    content = {"a.tar": b"".join(pack_each_member(tmp_path)), "c.jpg": PICTURE}
    path = tmp_path / "zeros.tar"
    path.write_bytes(bytes(20_480) + tar_bytes(tmp_path, content) + bytes(1 << 16))
    media, failures = read(path)
    assert list(media) == ["!a.tar!a.jpg", "!a.tar!b.jpg", "!c.jpg"]
    assert failures == {}


@pytest.mark.parametrize("foreign", [b"g", b"garbage" * 300, b"<html>" * 20_000])
@pytest.mark.parametrize("between", [True, False])
def test_field_39_what_is_no_part_of_a_tar_is_reported(
    tmp_path: Path, foreign: bytes, between: bool
) -> None:
    first, second = pack_each_member(tmp_path)
    if between:
        foreign = foreign.ljust(-(-len(foreign) // 512) * 512, b"-")
    path = tmp_path / "a.tar"
    path.write_bytes(first + foreign + second if between else first + second + foreign)
    media, failures = read(path)
    assert list(media) == ["!a.jpg", "!b.jpg"]
    count = -(-len(foreign) // 512) * 512
    assert failures == {
        "": f"{count:,} bytes between or after the 4 members belong to none of them; "
        "pack the tar again"
    }


def test_field_39_a_tar_cut_anywhere_is_reported(tmp_path: Path) -> None:
    content = tar_bytes(tmp_path, {f"{n}.jpg": PICTURE for n in range(3)})
    end = content.rindex(b"ustar") - 257 + 512 + -(-len(PICTURE) // 512) * 512
    path = tmp_path / "a.tar"
    for length in [*range(0, end, 512), *range(100, end, 1_000), end]:
        path.write_bytes(content[:length])
        media, failures = read(path)
        assert list(failures) == [""], length
        assert len(media) <= 3
    assert len(media) == 3
    assert "no end mark after 3 members and may be cut" in failures[""]
    path.write_bytes(content[: end + 1_024])
    assert read(path)[1] == {}


@pytest.mark.parametrize(
    ("media", "partner", "found"),
    [
        (["22.05.jpg", "22.06.jpg"], "22.05.txt", ["22.05.jpg"]),
        (["22.06.jpg"], "22.05.txt", []),
        (["a.jpg", "a.wav"], "a.txt", ["a.jpg", "a.wav"]),
        (["a.jpg", "a.wav"], "a.jpg.json", ["a.jpg"]),
        (["a.jpg", "a.mask.png"], "a.txt", ["a.jpg"]),
        (["a.jpg"], "a.caption.txt", ["a.jpg"]),
        (["a.left.jpg"], "a.txt", ["a.left.jpg"]),
        (["a.left.jpg", "a.right.jpg"], "a.txt", None),
        (["a.left.jpg", "a.left.wav"], "a.txt", ["a.left.jpg", "a.left.wav"]),
        (["a.jpg", "a.b.c.jpg"], "a.b.txt", ["a.b.c.jpg"]),
        (["x/a.jpg", "y/a.jpg"], "x/a.txt", ["x/a.jpg"]),
        (["x/a.jpg"], "a.txt", []),
        (["ab.jpg"], "a.txt", []),
    ],
)
def test_field_16_the_longest_common_stem_pairs(
    media: list[str], partner: str, found: list[str] | None
) -> None:
    with closing(TarIndex()) as index:
        for name in media:
            index.add_media(name)
        index.add_text(TarText(partner, 0, 0))
        index.pair_texts()
        problems = [problem for _, problem in index.problems()]
        result = [name for name in media if index.texts_of(name)]
    assert result == (found or [])
    if found:
        assert problems == []
    else:
        fact = "equally" if found is None else "without a media file"
        assert fact in problems[0]


@pytest.mark.parametrize("by_kind", [False, True])
def test_field_16_names_with_dots_keep_their_captions(tmp_path: Path, by_kind: bool) -> None:
    names = [f"22.{n:02}" for n in range(30)]
    members = [(f"{name}.{kind}", name, kind) for name in names for kind in ("jpg", "txt", "json")]
    members.sort(key=lambda member: (member[2], member[1]) if by_kind else ("", member[1]))

    def content(name: str, kind: str) -> bytes:
        texts = {"txt": name, "json": json.dumps({"n": name})}
        return texts[kind].encode() if kind in texts else PICTURE

    path = write_tar(tmp_path / "a.tar", [(m, content(name, kind)) for m, name, kind in members])
    media, failures = read(path)
    assert failures == {}
    assert media == {f"!{name}.jpg": (name, {"n": name}) for name in names}


def test_field_16_an_ambiguous_caption_is_a_failure(tmp_path: Path) -> None:
    content = {f"IMG.{n:04}.jpg": PICTURE for n in range(400)} | {"IMG.txt": b"whose?"}
    media, failures = read(write_tar(tmp_path / "a.tar", content))
    assert len(media) == 400
    assert {caption for caption, _ in media.values()} == {None}
    assert list(failures) == ["!IMG.txt"]
    assert "several media files match it equally" in failures["!IMG.txt"]


def test_field_16_memory_does_not_grow_with_a_group(tmp_path: Path) -> None:
    big = PICTURE + bytes(1 << 20)
    path = write_tar(tmp_path / "a.tar", {f"IMG.{n:04}.png": big for n in range(40)})
    (source,) = find_sources([str(path)])
    tracemalloc.start()
    try:
        count = sum(1 for _ in open_members(source))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 40
    assert peak < 8 << 20


def test_memory_does_not_grow_with_the_number_of_members(tmp_path: Path) -> None:
    def peak_bytes(count: int) -> int:
        names = [f"{n:06}-{'x' * 80}.{kind}" for n in range(count) for kind in ("jpg", "txt")]
        path = write_tar(tmp_path / "a.tar", dict.fromkeys(names, b"x"))
        (source,) = find_sources([str(path)])
        tracemalloc.start()
        try:
            assert sum(1 for _ in open_members(source)) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_bytes(10)  # imports and caches
    assert peak_bytes(1_500) < peak_bytes(100) + (1 << 18)


def test_field_38_a_tar_keeps_all_captions_of_an_item(tmp_path: Path) -> None:
    content = {
        "a.jpg": PICTURE,
        "a.txt": b"one",
        "a.json": json.dumps({"caption": ["two", "one"], "text": "a column"}).encode(),
        "a.more.txt": b"three",
    }
    media, failures = read(write_tar(tmp_path / "a.tar", content))
    assert failures == {}
    caption, columns = media["!a.jpg"]
    assert sorted(str(caption).split("\n")) == ["one", "three", "two"]
    assert columns == {"text": "a column"}


def test_field_49_numbers_of_a_tar_keep_their_digits(tmp_path: Path) -> None:
    content = {"a.jpg": PICTURE, "a.json": b'{"tweet": 1593901234567890451, "big": 1e400}'}
    media, _ = read(write_tar(tmp_path / "a.tar", content))
    assert media["!a.jpg"][1]["tweet"] == 1593901234567890451


def test_names_of_tars() -> None:
    assert [is_tar_name(n) for n in ("a.tar", "A.TAR", "a.tar.gz", "b.TZST", "a.tar.zst")] == [
        True
    ] * 5
    assert [is_tar_name(n) for n in ("tar", "a.gz", "a.tar.jpg", "a.guitar")] == [False] * 4
