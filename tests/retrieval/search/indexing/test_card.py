import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from indexes.effort import Effort
from retrieval.errors import CollectionFormatError
from retrieval.search.calibration import QueryType, ScoreStatistics
from retrieval.search.indexing.card import CARD_VERSION, IndexCard, Measurements
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.indexing.trials import Trial
from retrieval.types import Medium

CARD = IndexCard(
    space="toy-01234567",
    request=IndexRequest("auto", 0.9, 10**9, 5.0),
    factory="IVF64,SQ8",
    efforts={QueryType.TEXT: Effort(8, 100), QueryType.MEDIA: Effort(16, 200)},
    reason="the fastest in its trial",
    rows=1000,
    vectors=900,
    dim=32,
    bytes=2_500_000,
    training_rows=900,
    trained_for=1000,
    faiss="1.15.1",
    build_seconds=1.5,
    generation=7,
    first_item_id=0,
    last_item_id=41,
    measured=Measurements(
        {QueryType.TEXT: {1: 1.0, 10: 0.95}, QueryType.MEDIA: {10: 0.99}},
        {1: (0.5, 0.9), 32: (8.0, 9.5)},
        40.5,
        812.0,
    ),
    calibration=(ScoreStatistics(QueryType.TEXT, Medium.AUDIO, 0.2, 0.03, 0.26),),
    trials=(Trial("IVF16,SQ8", 400, {"text": 0.96}, True, 900.0, 40.0, 0.2, ((0.9, 1200.0),)),),
)


def write(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(json.loads(CARD.to_json()) | changes))
    return path


def test_a_card_reads_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(CARD.to_json())
    assert IndexCard.read(path) == CARD


def test_an_exact_index_has_no_factory(tmp_path: Path) -> None:
    card = IndexCard.read(write(tmp_path / "card.json", factory=None))
    assert card.factory is None
    assert card.summary() == "toy-01234567: exact, 1000 rows of 32 numbers, 2.5 MB, built in 1.5 s"


def test_the_summary_states_recall_by_query_type() -> None:
    assert CARD.summary().endswith("IVF64,SQ8, 1000 rows of 32 numbers, 2.5 MB, built in 1.5 s; "
                                   "recall@10 text 0.950, media 0.990")  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": CARD_VERSION + 1}, f"version {CARD_VERSION + 1}, expected {CARD_VERSION}"),
        ({"colour": "red"}, "colour"),
        ({"rows": "many"}, "rows: .*'many'"),
        ({"calibration": [{"query": "text"}]}, "calibration.0.medium is missing"),
        ({"calibration": None}, "calibration: .*None"),
        (
            {
                "calibration": [
                    {"query": "text", "medium": "smell", "mean": 0, "deviation": 1, "threshold": 0}
                ]
            },
            "calibration.0.medium: .*'smell'",
        ),
        (
            {"measured": {"recall": {"smell": {}}, "latency_ms": {}}},
            "measured.recall.smell",
        ),
        ({"request": {"kind": "auto", "recall": 7}}, "recall must be above 0"),
        (
            {
                "calibration": [
                    {"query": "text", "medium": "image", "mean": 0, "deviation": 0, "threshold": 0}
                ]
            },
            "invalid score statistics of text and image",
        ),
        ({"looking": {"text": {"visited": 3}}}, "candidates is missing"),
        ({"trials": [{"curve": []}]}, "trials.0.factory is missing"),
    ],
)
def test_a_card_that_breaks_the_rules_fails(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    path = write(tmp_path / "card.json", **changes)
    with pytest.raises(CollectionFormatError, match=reason) as caught:
        IndexCard.read(path)
    assert str(path) in str(caught.value)
    assert "build the index again" in str(caught.value)


def test_a_card_of_version_3_has_as_many_vectors_as_rows(tmp_path: Path) -> None:
    raw = json.loads(CARD.to_json()) | {"version": 3}
    del raw["vectors"]
    path = tmp_path / "card.json"
    path.write_text(json.dumps(raw))
    assert IndexCard.read(path) == replace(CARD, vectors=CARD.rows)


def test_a_card_without_a_key_fails(tmp_path: Path) -> None:
    raw = json.loads(CARD.to_json())
    del raw["last_item_id"]
    path = tmp_path / "card.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(CollectionFormatError, match="last_item_id"):
        IndexCard.read(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"3", b"\xff\xfe"])
def test_a_file_that_is_not_a_card_fails(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(content)
    with pytest.raises(CollectionFormatError, match="not an index card"):
        IndexCard.read(path)


def test_a_missing_card_fails(tmp_path: Path) -> None:
    with pytest.raises(CollectionFormatError, match="No such file"):
        IndexCard.read(tmp_path / "card.json")


@pytest.mark.parametrize(
    "hostile",
    [
        b"[" * 100_000,
        json.dumps(json.loads(CARD.to_json()) | {"version": "9" * 100_000}).encode(),
        CARD.to_json().replace('"mean": 0.2', '"mean": ' + "9" * 400).encode(),
        CARD.to_json().replace('"recall": 0.9', '"recall": ' + "9" * 400).encode(),
        CARD.to_json().replace('"rows": 1000', '"rows": ' + "9" * 5_000).encode(),
        CARD.to_json().replace('"rows": 1000', '"rows": "' + "9" * 100_000 + '"').encode(),
    ],
)
def test_fault_13_a_hostile_card_fails_in_one_short_line(tmp_path: Path, hostile: bytes) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(hostile)
    with pytest.raises(CollectionFormatError, match=r"card\.json is not an index card") as caught:
        IndexCard.read(path)
    assert len(str(caught.value)) < 1_000
    assert "\n" not in str(caught.value)
