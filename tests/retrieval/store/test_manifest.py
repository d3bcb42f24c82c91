from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from store_samples import PICTURES, SOUND

from retrieval.errors import CollectionFormatError
from retrieval.store.manifest import ListedFile, Manifest

FILES = (
    ListedFile("items/00000.parquet", 10, "a" * 64, 3, 0, 2),
    ListedFile("items/00003.parquet", 10, "b" * 64, 2, 3, 4),
    ListedFile(f"segments/{SOUND.name}/00000.parquet", 10, "c" * 64, 0, 0, 4),
    ListedFile(f"indexes/{SOUND.name}/000002/card.json", 2, "d" * 64, 0, None, None),
    ListedFile("removed/000003.parquet", 10, "e" * 64, 1, None, None),
)
MANIFEST = Manifest(7, (PICTURES, SOUND), 5, FILES)


def test_json_round_trip() -> None:
    assert Manifest.from_json(MANIFEST.to_json(), "m") == MANIFEST


def test_files_in_returns_the_files_of_one_folder_in_order() -> None:
    assert MANIFEST.files_in("items") == FILES[:2]
    assert MANIFEST.files_in(f"segments/{SOUND.name}") == FILES[2:3]
    assert MANIFEST.files_in("segments") == ()


def test_texts_and_their_index_belong_to_no_space() -> None:
    files = (
        *FILES,
        ListedFile("texts/00000.parquet", 10, "f" * 64, 9, 1, 2),
        ListedFile("sidecars/00000.parquet", 10, "0" * 64, 1, 1, 4),
        ListedFile("indexes/texts/000003/card.json", 2, "1" * 64, 0, 0, 4),
    )
    manifest = replace(MANIFEST, files=files)
    assert Manifest.from_json(manifest.to_json(), "m") == manifest
    overlapping = replace(files[-3], path="texts/00001.parquet")
    broken = replace(MANIFEST, files=(*files, overlapping))
    with pytest.raises(CollectionFormatError, match="starts at item 1, expected over 2"):
        Manifest.from_json(broken.to_json(), "m")


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    raw = json.loads(MANIFEST.to_json())
    change(raw)
    return json.dumps(raw).encode()


def test_unchanged_json_is_accepted() -> None:
    assert Manifest.from_json(changed(lambda raw: None), "m") == MANIFEST


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.update(schema_version=3), "schema version 3, expected 1 to 2"),
        (lambda raw: raw.update(schema_version=True), "schema version True"),
        (lambda raw: raw.pop("schema_version"), "schema version None"),
        (lambda raw: raw.update(extra=1), "extra is an unknown key"),
        (lambda raw: raw.pop("files"), "files is missing"),
        (lambda raw: raw.update(generation=-1), "generation is -1, expected 0 or more"),
        (lambda raw: raw.update(next_item_id=2**63), "next_item_id is 9223372036854775808"),
        (lambda raw: raw.update(next_item_id=1.0), "next_item_id: .* got 1.0"),
        (lambda raw: raw.update(files={}), "files: .* got {}"),
        (lambda raw: raw["spaces"].append(raw["spaces"][0]), "two spaces have the same name"),
        (lambda raw: raw["spaces"][0].update(colour=1), r"spaces\.0\.colour is an unknown key"),
        (lambda raw: raw["spaces"][0].update(name="../x"), r"name '\.\./x' is not valid"),
        (lambda raw: raw["spaces"][0].update(dim=0), "dim is 0"),
        (lambda raw: raw["spaces"][0].update(media=["smell"]), "media.* got 'smell'"),
        (lambda raw: raw["spaces"][0].update(media=[None]), "media.* got None"),
        (lambda raw: raw["spaces"][0].update(sampling=None), "sampling.* got None"),
        (lambda raw: raw["spaces"][0]["sampling"].update(clip_seconds=0), "clip_seconds is 0"),
        (
            lambda raw: raw["spaces"][1]["windows"].pop("hop_seconds"),
            "a key of space 'sound-00000002' is missing",
        ),
        (lambda raw: raw["files"].append(7), r"files\.5.* got 7"),
        (lambda raw: raw["files"].append(raw["files"][0]), "items/00000.parquet is listed twice"),
        (lambda raw: raw["files"][0].update(sha256="A" * 64), "sha256 'A+' is not valid"),
        (lambda raw: raw["files"][0].update(bytes="10"), r"files\.0\.bytes.* got '10'"),
        (lambda raw: raw["files"][0].update(last_item_id=None), "only one end of a range"),
        (lambda raw: raw["files"][0].update(last_item_id=5), "items 0 to 5 of 5"),
        (lambda raw: raw["files"][1].update(first_item_id=2), "starts at item 2, expected over 2"),
        (lambda raw: raw["files"].reverse(), "expected over 4"),
        (lambda raw: raw["spaces"].pop(), "belongs to an unlisted space"),
        (lambda raw: raw["files"][3].update(path="indexes/x/1"), "is not valid in this format"),
    ],
)
def test_broken_rule_fails(change: Callable[[dict[str, Any]], object], message: str) -> None:
    with pytest.raises(CollectionFormatError, match=f"^m: .*{message}"):
        Manifest.from_json(changed(change), "m")


def test_parts_of_an_index_that_overlap_fail() -> None:
    other = replace(FILES[3], path=f"indexes/{SOUND.name}/000006/card.json")
    with pytest.raises(CollectionFormatError, match="two parts of an index overlap"):
        Manifest.from_json(replace(MANIFEST, files=(*FILES, other)).to_json(), "m")


def test_parts_of_an_index_follow_each_other() -> None:
    name = f"indexes/{SOUND.name}"
    parts = [
        replace(FILES[3], path=f"{name}/00000{n}/card.json", first_item_id=n, last_item_id=n)
        for n in (1, 2)
    ]
    others = [file for file in FILES if not file.path.startswith(name)]
    manifest = replace(MANIFEST, files=(*others, *parts))
    assert Manifest.from_json(manifest.to_json(), "m") == manifest


def test_files_of_a_part_cover_one_range() -> None:
    path = FILES[3].path.replace("card.json", "rows.arrow")
    other = replace(FILES[3], path=path, first_item_id=0, last_item_id=4)
    with pytest.raises(CollectionFormatError, match="covers other items than the files"):
        Manifest.from_json(replace(MANIFEST, files=(*FILES, other)).to_json(), "m")


@pytest.mark.parametrize("blob", [b"", b"{", b"[1, NaN]", b"\xff\xfe"])
def test_invalid_json_fails(blob: bytes) -> None:
    with pytest.raises(CollectionFormatError, match="m is not valid JSON"):
        Manifest.from_json(blob, "m")


@pytest.mark.parametrize(
    "path",
    [
        "../items/00000.parquet",
        "items/../00000.parquet",
        "/items/00000.parquet",
        "items//00000.parquet",
        "items/00000.parquet\n",
        "items/00000.parquet\0",
        "items\\00000.parquet",
        "items/٠٠٠٠٠.parquet",
        f"segments/{SOUND.name}/../../../00000.parquet",
        f"indexes/{SOUND.name}/000002/..",
        f"indexes/{SOUND.name}/000002/.hidden",
        "CURRENT",
        "other/00000.parquet",
    ],
)
def test_an_invalid_path_fails(path: str) -> None:
    with pytest.raises(CollectionFormatError, match="is not valid in this format"):
        Manifest.from_json(changed(lambda raw: raw["files"][0].update(path=path)), "m")
