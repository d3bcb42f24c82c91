import json
import tarfile
from pathlib import Path

import pytest

from retrieval.media.archives import tar as tar_module
from retrieval.media.decode import decode
from retrieval.media.sources.find import find_sources
from retrieval.types import (
    AudioWindows,
    DecodePlan,
    Failure,
    ImageGeometry,
    ItemDecoded,
    ItemUnchanged,
    KnownFile,
    MediaInfo,
)
from support.media_files import make_tone, picture_bytes, sound_bytes, write_tar, write_video

PLAN = DecodePlan(
    images={"small": ImageGeometry(16, 16)},
    frames={"small": ImageGeometry(16, 16)},
    audio={"sound": AudioWindows(16_000)},
)
PICTURE = picture_bytes("PNG")


def decode_tar(path: Path) -> tuple[dict[str, MediaInfo], dict[str, str]]:
    """Give the decoded items and the failures' reasons, by member (`!name`)."""
    (source,) = find_sources([str(path)])
    items: dict[str, MediaInfo] = {}
    failures: dict[str, str] = {}
    for event in decode(source, PLAN, {}):
        if isinstance(event, ItemDecoded):
            items[event.info.uri.removeprefix(source.uri)] = event.info
        elif isinstance(event, Failure):
            failures[event.uri.removeprefix(source.uri)] = event.reason
    return items, failures


def test_members_are_items_in_order_with_captions_and_columns(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", [40] * 5).read_bytes()
    path = write_tar(
        tmp_path / "a.tar",
        [
            ("x/001.jpg", PICTURE),
            ("x/001.txt", b" a cat \n"),
            ("x/001.json", json.dumps({"year": 1999, "tags": ["a"]}).encode()),
            ("x/000.wav", sound_bytes(make_tone(1.0))),
            ("x/000.json", json.dumps({"caption": "a tone"}).encode()),
            ("v.mp4", video),
            ("v.cls", b"7"),
        ],
    )
    items, failures = decode_tar(path)
    assert failures == {}
    assert list(items) == ["!x/001.jpg", "!x/000.wav", "!v.mp4"]
    assert [info.caption for info in items.values()] == ["a cat", "a tone", None]
    assert items["!x/001.jpg"].columns == {"year": 1999, "tags": '["a"]'}
    assert items["!x/001.jpg"].bytes == len(PICTURE)


def test_several_media_of_one_key_share_its_caption(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar",
        {"k.txt": b"both", "k.png": PICTURE, "k.wav": sound_bytes(make_tone(1.0))},
    )
    items, _ = decode_tar(path)
    assert {name: info.caption for name, info in items.items()} == {
        "!k.png": "both",
        "!k.wav": "both",
    }


def test_columns_of_a_list_reach_every_member(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"k.png": PICTURE, "k.json": b'{"part": 2}'})
    (tmp_path / "list.csv").write_text("path,part,year\na.tar,1,1999\n")
    (source,) = find_sources([str(tmp_path / "list.csv")])
    *_, end = decode(source, PLAN, {})
    assert isinstance(end, ItemDecoded)
    assert end.info.columns == {"part": 2, "year": 1999}


def test_known_members_are_unchanged(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.png": PICTURE, "b.png": PICTURE})
    (source,) = find_sources([str(path)])
    first = next(e for e in decode(source, PLAN, {}) if isinstance(e, ItemDecoded)).info
    known = {first.uri: KnownFile(1, first.bytes, first.mtime, first.sha256)}
    events = list(decode(source, PLAN, known))
    assert events[0] == ItemUnchanged(first.uri)
    assert isinstance(events[-1], ItemDecoded)


def test_large_members_go_through_a_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_module, "SPOOL_BYTES", 10)
    video = write_video(tmp_path / "v.mp4", [40] * 5, sound=make_tone(1.0)).read_bytes()
    content = {"a.png": PICTURE, "b.wav": sound_bytes(make_tone(1.0)), "c.mp4": video}
    items, failures = decode_tar(write_tar(tmp_path / "a.tar", content))
    assert (len(items), failures) == (3, {})


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_fault_26_names_outside_of_the_tar_are_reported_and_never_written(tmp_path: Path) -> None:
    outside = tmp_path / "absolute.png"
    inner = tmp_path / "inner"
    inner.mkdir()
    path = write_tar(
        inner / "a.tar", [("../x.png", PICTURE), (str(outside), PICTURE), ("good.png", PICTURE)]
    )
    items, failures = decode_tar(path)
    assert list(items) == ["!good.png"]
    assert set(failures) == {"!../x.png", f"!{outside}"}
    assert all("leads out of the tar" in reason for reason in failures.values())
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.tar", "inner"]


def test_fault_26_links_and_devices_are_reported(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar",
        [
            link("soft.png", "/etc/hostname", tarfile.SYMTYPE),
            link("hard.png", "good.png", tarfile.LNKTYPE),
            link("device.png", "", tarfile.CHRTYPE),
            link("folder", "", tarfile.DIRTYPE),
            ("good.png", PICTURE),
        ],
    )
    items, failures = decode_tar(path)
    assert list(items) == ["!good.png"]
    assert set(failures) == {"!soft.png", "!hard.png", "!device.png"}
    assert all("link or a device" in reason for reason in failures.values())


def test_fault_26_duplicates_are_reported_and_the_first_is_used(tmp_path: Path) -> None:
    other = picture_bytes("PNG", seed=1)
    items, failures = decode_tar(
        write_tar(tmp_path / "a.tar", [("a.png", PICTURE), ("a.png", other), ("b.png", other)])
    )
    assert list(items) == ["!a.png", "!b.png"]
    assert items["!a.png"].bytes == len(PICTURE)
    assert list(failures) == ["!a.png#again"]


def test_fault_26_missing_partner_is_reported(tmp_path: Path) -> None:
    items, failures = decode_tar(
        write_tar(tmp_path / "a.tar", {"a.txt": b"no picture", "b.json": b"{}", "c.png": PICTURE})
    )
    assert (list(items), items["!c.png"].caption) == (["!c.png"], None)
    assert set(failures) == {"!a.txt", "!b.json"}
    assert all("without a media file" in reason for reason in failures.values())


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe\x00", b"[" * 100_000])
def test_broken_columns_are_reported_and_the_item_is_used(tmp_path: Path, content: bytes) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.png": PICTURE, "a.json": content})
    items, failures = decode_tar(path)
    assert list(items) == ["!a.png"]
    assert "JSON" in failures["!a.json"]


def test_a_bad_member_does_not_affect_the_others(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.png": PICTURE[:-60], "b.png": PICTURE})
    items, failures = decode_tar(path)
    assert (list(items), list(failures)) == (["!b.png"], ["!a.png"])


def test_tar_cut_short_gives_what_is_left_and_a_failure(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {f"{n}.png": PICTURE for n in range(4)})
    content = path.read_bytes()
    path.write_bytes(content[: 3 * (512 + 512 * -(-len(PICTURE) // 512)) + 700])
    items, failures = decode_tar(path)
    assert list(items) == ["!0.png", "!1.png", "!2.png"]
    assert "breaks off" in failures[""]


@pytest.mark.parametrize("content", [b"", b"<html>404</html>" * 100, bytes(10_240)])
def test_a_file_that_is_not_a_tar_fails(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    items, failures = decode_tar(path)
    assert (items, list(failures)) == ({}, [""])


def test_fault_27_member_names_are_percent_encoded(tmp_path: Path) -> None:
    name = "a%\udcff\n🎵.png"
    items, failures = decode_tar(write_tar(tmp_path / "a.tar", {name: PICTURE}))
    assert (list(items), failures) == (["!a%25%FF\n🎵.png"], {})
