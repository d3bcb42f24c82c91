"""The commands as people type them, on the bundled models."""

import json
import os
import re
import socket
from pathlib import Path

import pytest

from indexes.errors import RetrievalError
from retrieval.collection import Collection
from retrieval.demo.world import World
from retrieval.errors import CollectionDamagedError, QueryError, SourceError
from retrieval.progress import no_progress
from retrieval.store.lock import CollectionLock
from retrieval.store.writer_progress import PublishedProgress
from retrieval.types import Medium
from support.commands import run


def test_one_of_a_kind_is_told_in_the_singular(world: World, tmp_path: Path) -> None:
    picture = next((world.folder / "images").glob("*.png"))
    said = run("embed", picture, "-c", tmp_path / "c", "--model", "tiny")
    assert said.startswith("1 item added (1 image, 0 recordings, 0 videos)")


def test_from_a_folder_to_an_answer(world: World, tmp_path: Path) -> None:
    collection = tmp_path / "c"
    said = run("embed", world.folder / "images", "-c", collection, "--model", "tiny")
    assert said.startswith("24 items added (24 images, 0 recordings, 0 videos)")
    assert "24 unchanged" in run("embed", world.folder / "images", "-c", collection)
    assert "tiny-image" in run("index", collection)
    found = json.loads(run("search", collection, "a red star", "-k", 3, "--format", "json"))
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert "items       24 (24 image)" in run("status", collection)
    assert "is whole" in run("verify", collection)
    assert run("remove", collection, "--where", "item_id < 4").startswith("4 items removed")
    assert "4 removed items dropped" in run("compact", collection)
    assert json.loads(run("status", collection, "--format", "json"))["items"] == {"image": 20}


def test_status_shows_a_running_writer(copied: Collection) -> None:
    root = copied.root
    writer = f"process {os.getpid()} on {socket.gethostname()}"
    assert "writer" not in run("status", root)
    assert json.loads(run("status", root, "--format", "json"))["writer"] is None
    with CollectionLock(root):
        assert run("status", root).endswith(f"\nwriter      {writer}\n")
        with PublishedProgress(root, no_progress, lambda: (38, 2), total=100) as progress:
            progress("embedding", 40, None)
            said = run("status", root)
            document = json.loads(run("status", root, "--format", "json"))["writer"]
    assert said.endswith(f"\nwriter      {writer}: embedding, 40 of 100, 2 failed\n")
    assert (document["process"], document["done"], document["total"]) == (os.getpid(), 40, 100)


def test_formats_of_an_answer(indexed: Collection) -> None:
    search = ("search", indexed.root, "a piano", "-k", 2)
    table = run(*search)
    assert "a piano" in table
    assert table.count("0.") >= 2
    lines = run(*search, "--format", "csv").splitlines()
    assert lines[0].startswith("rank,score,item_id,uri")
    assert len(lines) == 3
    assert len(run(*search, "--format", "paths").splitlines()) == 2


def test_many_queries_from_a_file(indexed: Collection, tmp_path: Path) -> None:
    queries = tmp_path / "q.jsonl"
    queries.write_text('{"qid": 1, "query": "a star"}\n{"qid": 2, "query": "slow organ"}\n')
    lines = run("search", indexed.root, "--queries", queries, "--format", "json").splitlines()
    assert [json.loads(line)["query"] for line in lines] == ["a star", "slow organ"]


def test_a_gallery_is_written(indexed: Collection, tmp_path: Path) -> None:
    run("search", indexed.root, "a star", "--gallery", tmp_path / "g.html", "-k", 4)
    assert (tmp_path / "g.html").read_text().count("<article") == 4


def test_moments_of_one_file(world: World) -> None:
    video = world.folder / world.of(Medium.VIDEO)[0].file
    found = json.loads(run("localize", video, "a red star", "--model", "tiny", "--format", "json"))
    assert found["hits"]
    for hit in found["hits"]:
        assert hit["uri"] == str(video)
        assert 0 <= hit["start_seconds"] < hit["end_seconds"]


@pytest.mark.parametrize("name", ["CURRENT", "manifests", "items", "segments", "indexes"])
def test_fault_12_a_flipped_bit_is_found(copied: Collection, name: str) -> None:
    path = copied.root / name
    if path.is_dir():
        path = sorted(p for p in path.rglob("*") if p.is_file())[-1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CollectionDamagedError):
        run("verify", copied.root)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("search", "{c}"), QueryError, "QUERY or --queries"),
        (("search", "{c}", ""), QueryError, "empty"),
        (("search", "{c}", "@nowhere.png"), QueryError, "no such file"),
        (("remove", "{c}"), QueryError, "nothing is selected"),
        (("remove", "{c}", "--ids", "999"), QueryError, "no item has the id 999"),
        (("localize", "nowhere.mp4", "x"), SourceError, "not a file"),
        (("search", "nowhere", "x"), RetrievalError, "not a collection"),
        (("bench", "run", "nothing"), RetrievalError, "no suite called 'nothing'"),
        (("bench", "run", "esc10"), SourceError, "esc10 reads a data set: name its folder with"),
        (("bench", "run", "esc10", "--data", "{c}"), SourceError, "'001 - Dog bark', expected 10"),
    ],
)
def test_bad_input_is_one_line(
    copied: Collection, arguments: tuple[str, ...], error: type[RetrievalError], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)) as caught:
        run(*(argument.format(c=copied.root) for argument in arguments))
    assert "\n" not in str(caught.value)


@pytest.mark.long
def test_real_media(real_data: Path, tmp_path: Path) -> None:
    """The main job on files that nobody here made."""
    folders = [real_data / name for name in ("photos", "music", "videos")]
    said = run("embed", *folders, "-c", tmp_path / "c", "--model", "tiny")
    assert said.startswith("37 items added (21 images, 10 recordings, 6 videos)")
    assert "failed" not in said
    run("index", tmp_path / "c")
    for file, target in (("photos/cat_720p.jpg", "image"), ("videos/mmaction2_demo.mp4", "video")):
        asked = f"@{real_data / file}"
        found = json.loads(run("search", tmp_path / "c", asked, "--to", target, "--format", "json"))
        assert found["hits"][0]["uri"] == str(real_data / file)
        assert found["hits"][0]["score"] == pytest.approx(1.0, abs=2e-3)
    assert found["hits"][1]["uri"].endswith("mmaction2_demo_spatiotemporal_det.mp4")
