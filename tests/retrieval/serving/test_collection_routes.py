"""What the page shows about a collection: contents, columns, folders, failures, duplicates."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from retrieval.columns.types import ColumnType
from retrieval.progress import no_progress
from retrieval.serving.columns import _summary
from retrieval.serving.folders import folder_tree
from retrieval.store.lock import CollectionLock
from retrieval.store.writer_progress import PublishedProgress


def test_the_contents_are_counted(shared) -> None:
    (overview,) = shared.client.get("/api/collections").json()["collections"]
    assert overview["collection"] == "toys"
    assert overview["items"] == {"audio": 1, "image": 8, "video": 1}
    assert overview["hours"] == round(8.064 / 3600, 3)
    assert [space["rows"] for space in overview["spaces"]] == [10, 4]
    assert overview["writer"] is None
    assert len(overview["examples"]) == len(set(overview["examples"]))


def test_examples_find_likely_items(
    indexed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retrieval.encoders.catalogue import load_encoder
    from support.served_toys import served

    # Other tests of this module are served toys.
    monkeypatch.setattr("retrieval.search.open_collection.load_encoder", load_encoder)

    with served(indexed.root, cache=tmp_path) as (client, _):
        (overview,) = client.get("/api/collections").json()["collections"]
        best = [
            client.get("/api/search", params={"q": text, "k": 1}).json()["hits"][0]
            for text in overview["examples"]
        ]
        kinds = {space["index"][0]["kind"] for space in overview["spaces"]}
    assert len(best) == 3
    assert all(hit["likely"] for hit in best)
    assert len({hit["item_id"] for hit in best}) == 3
    assert kinds == {"exact"}


def test_a_running_writer_is_shown(own) -> None:
    import os

    with CollectionLock(own.root):
        (overview,) = own.client.get("/api/collections").json()["collections"]
    assert overview["writer"]["process"] == os.getpid()
    assert overview["writer"]["since"] > 0
    assert overview["writer"]["progress"] is None


def test_the_progress_of_a_writer_is_shown(own) -> None:
    with (
        CollectionLock(own.root),
        PublishedProgress(own.root, no_progress, lambda: (38, 2), total=100) as progress,
    ):
        progress("embedding", 40, None)
        (overview,) = own.client.get("/api/collections").json()["collections"]
    shown = overview["writer"]["progress"]
    assert shown.pop("updated_at") >= shown.pop("started_at") > 0
    assert shown == {
        "task": "embedding", "done": 40, "total": 100, "items": 38, "failed": 2, "ends_at": None,
    }  # fmt: skip


def test_failures_are_paged_with_reasons(own) -> None:
    from retrieval.embedding.options import EmbedOptions
    from retrieval.embedding.run import embed
    from support.embed_process import TOYS

    for number in range(3):
        (own.media / f"bad{number}.png").write_bytes(b"no picture")
    embed([own.media], own.root, EmbedOptions(models=tuple(TOYS), workers=0))
    own.services.library.refresh()
    first = own.client.get("/api/failures?k=2").json()
    second = own.client.get(f"/api/failures{first['next']}").json()
    assert (first["total"], second["next"]) == (3, None)
    found = [failure["uri"] for failure in first["failures"] + second["failures"]]
    assert sorted(found) == [str(own.media / f"bad{number}.png") for number in range(3)]
    assert all(failure["reason"] for failure in first["failures"])


def test_columns_have_ranges_and_values(shared) -> None:
    answer = shared.client.get("/api/columns").json()
    columns = {column["name"]: column for column in answer["columns"]}
    assert columns["width"] == {"name": "width", "type": "int64", "count": 9, "min": 32, "max": 64}
    assert columns["modality"]["values"] == [
        {"value": "image", "count": 8}, {"value": "audio", "count": 1},
        {"value": "video", "count": 1},
    ]  # fmt: skip
    assert "uri" not in columns


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([True, False, True, None], ColumnType.BOOL, {"distinct": 2, "values": [
            {"value": True, "count": 2}, {"value": False, "count": 1}]}),
        (["b", "a", "b", "x" * 201], ColumnType.STRING, {"distinct": 3, "values": [
            {"value": "b", "count": 2}, {"value": "a", "count": 1}]}),
        ([1.5, None, -2.0], ColumnType.DOUBLE, {"min": -2.0, "max": 1.5}),
    ],
)  # fmt: skip
def test_a_summary_suits_the_type(values: list, kind: ColumnType, expected: dict) -> None:
    summary = _summary("x", kind, pa.chunked_array([values]))
    count = sum(value is not None for value in values)
    assert summary == {"name": "x", "type": kind.value, "count": count} | expected


def test_folders_are_a_tree_whose_conditions_select_their_items(shared) -> None:
    tree = shared.client.get("/api/columns").json()["folders"]
    assert (tree["path"], tree["items"]) == (str(shared.media), 10)
    assert [(node["name"], node["items"]) for node in tree["folders"]] == [
        ("below", 2), ("some.tar", 1),
    ]  # fmt: skip
    for node in (tree, *tree["folders"]):
        parameters = {"where": node["where"], "k": 50}
        hits = shared.client.get("/api/search", params=parameters).json()["hits"]
        assert len(hits) == node["items"]
        assert all(re.match(re.escape(node["path"]) + "[/!]", hit["uri"]) for hit in hits)


def test_wildcards_in_folder_names_are_escaped() -> None:
    tree = folder_tree(pa.chunked_array([["/a/50%25_'x'/1.png", "/a/b/2.png", "/a/3.png"]]))
    assert tree is not None
    assert (tree["path"], tree["items"]) == ("/a", 3)
    special = tree["folders"][0]
    assert special["where"] == (
        r"(uri LIKE '/a/50\%25\_''x''/%' ESCAPE '\' OR uri LIKE '/a/50\%25\_''x''!%' ESCAPE '\')"
    )
    assert folder_tree(pa.chunked_array([[]], pa.string())) is None


def test_duplicates_are_those_of_the_library(shared) -> None:
    answer = shared.client.get("/api/duplicates?threshold=0.95").json()
    assert [[item["item_id"] for item in group["items"]] for group in answer["groups"]] == [
        [shared.ids["red.png"], shared.ids["scarlet.png"]]
    ]
    assert answer["next"] is None
    assert shared.client.get("/api/duplicates?threshold=2").status_code == 422


def test_a_curve_is_that_of_the_searcher(shared) -> None:
    answer = shared.client.get(shared.url("curves", "film.mp4", "?q=white")).json()
    searcher = next(iter(shared.services.library)).current.searcher
    for curve in answer["curves"]:
        expected = searcher.curve("white", shared.ids["film.mp4"], curve["space"], curve["medium"])
        for name, values in zip(("start_seconds", "end_seconds", "scores"), expected, strict=True):
            assert curve[name] == pytest.approx(values.tolist(), abs=1e-3)
    assert [curve["medium"] for curve in answer["curves"]] == ["video", "audio"]
    picture = shared.client.get(shared.url("curves", "red.png", "?q=white"))
    assert picture.json() == {"curves": []}
    assert shared.client.get(shared.url("curves", "film.mp4")).status_code == 422
    url = shared.url("curves", "film.mp4", "?q=white&space=nothing")
    assert shared.client.get(url).status_code == 404


def test_metrics_are_in_the_text_format_of_prometheus(shared) -> None:
    shared.client.get("/api/search?q=red")
    shared.client.get(shared.url("media", "red.png"))
    text = shared.client.get("/metrics").text
    line = re.compile(r'(# TYPE \w+ (counter|gauge)|\w+(\{(\w+="[^"]*",?)+\})? [0-9.e+-]+)')
    assert all(line.fullmatch(each) for each in text.splitlines())
    assert 'retrieval_requests_total{route="/media/{collection}/{item}",status="200"}' in text
    assert 'retrieval_generation{collection="toys"} 1' in text
    assert re.search(r'retrieval_rows\{collection="toys",space="toy-[0-9a-f]+"\} 10', text)
    assert re.search(r'retrieval_search_stage_seconds_count\{stage="search"\} [1-9]', text)
    assert float(re.search(r"\nretrieval_resident_memory_bytes (\S+)", text)[1]) > 1e6


def test_the_api_is_described(shared) -> None:
    document = shared.client.get("/openapi.json").json()
    assert {"/api/search", "/media/{collection}/{item}", "/metrics"} <= set(document["paths"])
    assert shared.client.get("/docs").status_code == 404


def test_the_page_is_static_and_loads_nothing_from_elsewhere(shared) -> None:
    answer = shared.client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"""(src|href|action)=["']?(https?:)?//""", answer.text)
    headers = {"if-none-match": answer.headers["etag"]}
    assert shared.client.get("/", headers=headers).status_code == 304
    assert shared.client.get("/index.html").content == answer.content
