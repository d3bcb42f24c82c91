import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from retrieval.collection import Collection
from retrieval.duplicates.groups import DuplicateGroup
from retrieval.duplicates.report import as_json, check_report, write_page, write_report
from retrieval.errors import QueryError, StorageError
from retrieval.types import Medium
from support.vector_items import directions, item_of, near, write_items


@pytest.fixture
def groups(tmp_path: Path) -> list[DuplicateGroup]:
    """Three similar pictures, one with special characters in its name, and a clip with its film."""
    rows, scenes = np.repeat(directions(1), 3, axis=0), directions(9, 2)
    write_items(
        tmp_path / "c",
        [
            *(item_of(name, Medium.IMAGE, near(rows[:1], 0.1, n)) for n, name in enumerate("ab")),
            item_of("<é>\n🙂.jpg", Medium.IMAGE, rows[:1]),
            item_of("film.mp4", Medium.VIDEO, scenes),
            item_of("clip.mp4", Medium.VIDEO, scenes[3:7]),
        ],
    )
    return Collection.open(tmp_path / "c").duplicates()


def test_parquet_equals_json(groups: list[DuplicateGroup], tmp_path: Path) -> None:
    write_report(tmp_path / "g.json", groups)
    write_report(tmp_path / "g.parquet", groups)
    document = json.loads((tmp_path / "g.json").read_text())
    assert document == json.loads(json.dumps(as_json(groups)))
    flat = [
        {"group": group["group"], "space": group["space"], "modality": group["modality"],
         "item_id": item["item_id"], "uri": item["uri"], "matches": item["matches"],
         "missing": item["missing"]}
        for group in document["groups"]
        for item in group["items"]
    ]  # fmt: skip
    assert pq.read_table(tmp_path / "g.parquet").to_pylist() == flat
    assert [row["group"] for row in flat] == [1, 1, 1, 2, 2]
    assert flat[2]["uri"] == "/archive/<é>\n🙂.jpg"
    assert flat[4]["matches"][0]["overlaps"][0]["other_start_seconds"] == 6


def test_report_without_groups(tmp_path: Path) -> None:
    write_report(tmp_path / "g.json", [])
    write_report(tmp_path / "g.parquet", [])
    assert json.loads((tmp_path / "g.json").read_text()) == {"groups": []}
    assert pq.read_table(tmp_path / "g.parquet").num_rows == 0


def test_page_of_groups(groups: list[DuplicateGroup], tmp_path: Path) -> None:
    write_page(tmp_path / "g.html", groups, title="Near-duplicates")
    page = (tmp_path / "g.html").read_text()
    assert page.count("<article") == 5
    assert "3 near-duplicates" in page
    assert "/archive/&lt;é&gt;" in page
    assert "clip.mp4#t=0.0,8.0" in page


def test_fault_07_an_unwritable_report_fails(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="the formats are"):
        check_report(tmp_path / "g.txt")
    with pytest.raises(StorageError, match="its folder does not exist"):
        check_report(tmp_path / "nowhere" / "g.json")
    (tmp_path / "g.json").mkdir()
    with pytest.raises(StorageError, match=r"g\.json"):
        check_report(tmp_path / "g.json")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"g\.json"):
        check_report(tmp_path / "file" / "g.json")
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(StorageError, match="Permission denied"):
            check_report(tmp_path / "locked" / "g.json")
