import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.errors import CollectionFormatError
from retrieval.search.calibration import Background, Calibration, QueryKind
from retrieval.search.card import CARD_VERSION, IndexCard, digest_of_ids
from retrieval.types import Medium

CARD = IndexCard(
    space="toy-01234567",
    kind="auto",
    factory="IVF64,SQ8",
    rows=1000,
    dim=32,
    bytes=2_500_000,
    training_rows=900,
    faiss="1.15.1",
    build_seconds=1.5,
    generation=7,
    last_item_id=41,
    removed_digest=digest_of_ids(np.array([3, 5])),
    recall_at_10={QueryKind.TEXT: 0.95, QueryKind.MEDIA: 0.99},
    calibration=Calibration({(QueryKind.TEXT, Medium.AUDIO): Background(0.2, 0.03, 0.26)}),
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


def test_the_summary_states_recall_by_kind_of_query() -> None:
    assert CARD.summary().endswith("IVF64,SQ8, 1000 rows of 32 numbers, 2.5 MB, built in 1.5 s; "
                                   "recall@10 text 0.950, media 0.990")  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": CARD_VERSION + 1}, f"version {CARD_VERSION + 1}, expected {CARD_VERSION}"),
        ({"colour": "red"}, "colour"),
        ({"rows": "many"}, "rows is 'many'"),
        ({"calibration": [{"query": "text"}]}, "lacks 'mean'"),
        ({"calibration": None}, "NoneType"),
        (
            {
                "calibration": [
                    {"query": "text", "medium": "smell", "mean": 0, "deviation": 1, "threshold": 0}
                ]
            },
            "'smell' is not a valid Medium",
        ),
        ({"recall_at_10": {"smell": 1.0}}, "'smell' is not a valid QueryKind"),
    ],
)
def test_a_card_that_breaks_the_rules_fails(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    path = write(tmp_path / "card.json", **changes)
    with pytest.raises(CollectionFormatError, match=reason) as caught:
        IndexCard.read(path)
    assert str(path) in str(caught.value)
    assert "retrieval index" in str(caught.value)


def test_a_card_without_a_key_fails(tmp_path: Path) -> None:
    raw = json.loads(CARD.to_json())
    del raw["last_item_id"]
    path = tmp_path / "card.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(CollectionFormatError, match="last_item_id"):
        IndexCard.read(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"3", b"\xff\xfe"])
def test_a_file_that_is_no_card_fails(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(content)
    with pytest.raises(CollectionFormatError, match="not an index card"):
        IndexCard.read(path)


def test_a_missing_card_fails(tmp_path: Path) -> None:
    with pytest.raises(CollectionFormatError, match="No such file"):
        IndexCard.read(tmp_path / "card.json")


def test_digests_tell_sets_apart() -> None:
    ids = np.array([1, 2, 3], np.int64)
    assert digest_of_ids(ids) == digest_of_ids(ids.copy())
    assert digest_of_ids(ids) != digest_of_ids(ids[:2])
    assert digest_of_ids(np.empty(0, np.int64)) != digest_of_ids(ids)
