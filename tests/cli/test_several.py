"""Commands over several collections: what they take, and what they print."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

import retrieval
from retrieval.collection import Collection
from retrieval.errors import (
    CollectionDamagedError,
    CollectionNotFoundError,
    QueryError,
    RetrievalError,
)
from retrieval.store.writer import CollectionWriter
from retrieval.types import Medium
from support.commands import run
from support.several_toys import RANGES, Toys, item, one_and_several
from support.vector_items import directions, item_of, near, write_items


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `all`, and the same items in `part0` to `part3`."""
    folder = tmp_path_factory.mktemp("archive")
    one_and_several(folder, indexed=True)
    return folder


@pytest.fixture(autouse=True)
def toy_encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Collection, "encoder", Toys.encoder)
    monkeypatch.setattr("retrieval.search.diff._EncoderCache.__call__", Toys.encoder)


def search(*arguments: object) -> list[dict[str, object]]:
    hits: list[dict[str, object]] = json.loads(run("search", *arguments, "--format", "json"))[
        "hits"
    ]
    return hits


def parts(archive: Path) -> list[Path]:
    return [archive / f"part{number}" for number in range(len(RANGES))]


QUERY = "wort1 wort2"


def test_folders_and_patterns_are_searched_as_one(archive: Path) -> None:
    want = [hit["uri"] for hit in search(archive / "all", QUERY)]
    listed = search(*parts(archive), QUERY)
    assert [hit["uri"] for hit in listed] == want
    assert search(f"{archive}/part*", QUERY) == listed
    assert search(f"{archive}/part[01]", *parts(archive)[2:], archive / "part2", QUERY) == listed
    assert {hit["collection"] for hit in listed} <= set(map(str, parts(archive)))
    assert "collection" not in search(archive / "all", QUERY)[0]


def test_other_queries_follow_all_folders(archive: Path, tmp_path: Path) -> None:
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"qid": 7, "query": "wort1"}\n{"query": "red"}\n')
    lines = run("search", *parts(archive), "--queries", queries, "--format", "json").splitlines()
    want = run("search", archive / "all", "--queries", queries, "--format", "json").splitlines()
    assert [[hit["uri"] for hit in json.loads(line)["hits"]] for line in lines] == [
        [hit["uri"] for hit in json.loads(line)["hits"]] for line in want
    ]
    similar = search(*parts(archive), "--like", "part2:2")  # item 26
    assert similar
    assert "/media/26" not in {hit["uri"] for hit in similar}
    np.save(tmp_path / "vector.npy", directions(1)[0])
    by_vector = ("--vector", tmp_path / "vector.npy", "--space", "toy-00000001")
    assert [hit["uri"] for hit in search(*parts(archive), *by_vector)] == [
        hit["uri"] for hit in search(archive / "all", *by_vector)
    ]


def test_tables_and_csv_name_the_collection(archive: Path, tmp_path: Path) -> None:
    table = run("search", *parts(archive), QUERY)
    first = search(*parts(archive), QUERY)[0]
    assert f"{Path(str(first['collection'])).name}:{first['item_id']}" in table
    text = run("search", *parts(archive), QUERY, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[0]["collection"] == first["collection"]
    assert "collection" not in run("search", archive / "all", QUERY, "--format", "csv")
    run("search", *parts(archive), QUERY, "--gallery", tmp_path / "g.html")
    assert f"{Path(str(first['collection'])).name}" in (tmp_path / "g.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("part0", "gone", "red"), CollectionNotFoundError, "gone"),
        (("part0", "gone", "--like", "part0:1"), QueryError, "'gone' is read as QUERY"),
        (("part0", "gone", "part1", "--like", "part0:1"), CollectionNotFoundError, "gone"),
        (("x*", "red"), CollectionNotFoundError, r"no collection matches .*x\*"),
        (("part0", "part1", "part2"), QueryError, "part2 is a collection; give a query after it"),
        (("part0", "part1", "--like", "3"), QueryError, "NAME:ID"),
        (("part0", "--like", "part0:3"), QueryError, "--like takes the id of an item"),
        (("part0", "part1", "red", "--ids", "ids.txt"), QueryError, "--ids, --model and --here"),
        (("part0", "part1", "red", "--like", "part0:1"), QueryError, "give a QUERY or --queries"),
    ],
)
def test_wrong_arguments_are_explained_in_one_line(
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    error: type[RetrievalError],
    message: str,
) -> None:
    monkeypatch.chdir(archive)
    with pytest.raises(error, match=message) as caught:
        run("search", *arguments)
    assert "\n" not in str(caught.value)


def test_status_and_verify_report_each_collection_and_the_sum(archive: Path) -> None:
    document = json.loads(run("status", f"{archive}/part*", "--format", "json"))
    assert [each["collection"] for each in document["collections"]] == list(
        map(str, parts(archive))
    )
    alone = json.loads(run("status", archive / "all", "--format", "json"))
    assert document["total"]["items"] == sum(alone["items"].values())
    assert document["total"]["removed"] == alone["removed"] == 3
    text = run("status", *parts(archive))
    assert f"4 collections, {sum(alone['items'].values())} items, 3 removed" in text
    assert all(str(part) in text for part in parts(archive))
    assert run("verify", *parts(archive)).splitlines() == [
        f"{part} is whole" for part in parts(archive)
    ]


def test_a_damaged_collection_is_named_and_skipped_on_request(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with CollectionWriter.open(tmp_path / name, create=True) as writer:
            from support.indexed_toys import PICTURES, SOUND

            writer.add_space(PICTURES)
            writer.add_space(SOUND)
            for number in range(3):
                writer.add(item(number))
    broken = tmp_path / "b"
    (file,) = Collection(broken).snapshot.manifest.files_in("items")
    (broken / file.path).write_bytes(b"PAR1")
    group = (tmp_path / "a", broken)
    for command in (("search", *group, "red"), ("dups", *group), ("status", *group)):
        with pytest.raises(CollectionDamagedError, match=str(broken)):
            run(*command)
        assert run(*command, "--skip-damaged")
    assert {hit["collection"] for hit in search(*group, "red", "--skip-damaged")} == {
        str(tmp_path / "a")
    }
    with pytest.raises(CollectionDamagedError, match=f"{broken} has 1 problems"):
        run("verify", *group)


def test_two_groups_are_compared(archive: Path) -> None:
    document = json.loads(
        run("diff", archive / "all", f"{archive}/part*", "--format", "json", "--where",
            "caption IS NULL", *("--queries", queries_of(archive)))
    )  # fmt: skip
    assert document["summary"]["unchanged"] == document["summary"]["queries"] == 2
    assert document["new"] == ", ".join(map(str, parts(archive)))
    changed = json.loads(
        run("diff", archive / "all", f"{archive}/part[01]", "--format", "json",
            *("--queries", queries_of(archive)))
    )  # fmt: skip
    assert changed["summary"]["unchanged"] == 0


def queries_of(archive: Path) -> Path:
    path = archive / "queries.jsonl"
    path.write_text('{"query": "wort1 red"}\n{"query": "high"}\n')
    return path


def test_duplicates_are_found_across_collections(tmp_path: Path) -> None:
    """Groups, matches and overlaps equal those of one collection of all items."""
    rows = near(np.repeat(directions(4), 3, axis=0), 0.05)
    scenes = directions(9, 2)
    items = [
        *(item_of(f"{n}.jpg", Medium.IMAGE, rows[n : n + 1]) for n in range(12)),
        item_of("film.mp4", Medium.VIDEO, scenes),
        item_of("clip.mp4", Medium.VIDEO, scenes[3:7]),
    ]
    write_items(tmp_path / "all", items)
    bounds = ((0, 5), (5, 13), (13, 14))
    for number, (first, last) in enumerate(bounds):
        write_items(tmp_path / f"part{number}", items[first:last])
    want = retrieval.open(tmp_path / "all").duplicates()
    groups = retrieval.open(f"{tmp_path}/part*").duplicates()
    assert len(groups) == len(want) == 5
    first_ids = {str(tmp_path / f"part{n}"): first for n, (first, _) in enumerate(bounds)}
    for group, same in zip(groups, want, strict=True):
        assert (group.space, group.modality) == (same.space, same.modality)
        for one, other in zip(group.items, same.items, strict=True):
            assert one.collection is not None
            assert one.item_id + first_ids[one.collection] == other.item_id
            assert (one.uri, one.metadata) == (other.uri, other.metadata)
            for match, like in zip(one.matches, other.matches, strict=True):
                assert match.collection is not None
                assert match.item_id + first_ids[match.collection] == like.item_id
                assert match.score == pytest.approx(like.score)
                assert (match.share, match.overlaps) == (like.share, like.overlaps)
    arguments = ("dups", f"{tmp_path}/part*")
    document = json.loads(run(*arguments, "--format", "json"))
    assert document["groups"][-1]["items"][1]["collection"] == str(tmp_path / "part2")
    assert "part2:0" in run(*arguments)
    run(*arguments, "--out", tmp_path / "g.parquet", "--gallery", tmp_path / "g.html")
    import pyarrow.parquet as pq

    table = pq.read_table(tmp_path / "g.parquet")
    assert table.column("collection").to_pylist()[-1] == str(tmp_path / "part2")
    assert table.column("matches").to_pylist()[-1][0]["collection"] == str(tmp_path / "part1")
    assert (
        "collection"
        not in json.loads(run("dups", tmp_path / "all", "--format", "json"))["groups"][0]["items"][
            0
        ]
    )
