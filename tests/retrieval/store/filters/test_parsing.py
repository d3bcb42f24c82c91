import logging
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from retrieval.columns.types import ColumnType
from retrieval.errors import FilterError
from retrieval.store.filters.evaluation import evaluate, matching_ids
from retrieval.store.filters.parsing import parse_condition
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, MediaInfo, Medium, Segments, Space

TWEET = 1593901234567890450
ROWS: list[dict[str, object]] = [
    {
        "tweet": TWEET + number,
        "price": Decimal(f"{10 + number}.40"),
        "label": f"{10 + number}.40",
        "tags": ["red", f"n{number}", number, "it's"],
        "day": date(2020, 1, 1 + number),
        "taken": datetime(2020, 1, 1, number, 30, tzinfo=UTC),
        "Odd; -- /* name": number,
        "show": number,
    }
    for number in range(5)
]
CAPTIONS = ["a;b", "x -- y", "/* z */", "((((" * 30, "plain"]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    root = tmp_path_factory.mktemp("conditions") / "c"
    space = Space("toy-00000000", "toy", 2, (Medium.IMAGE,), "0" * 64)
    nan = np.full(1, np.nan, np.float32)
    segments = Segments([Medium.IMAGE], nan, nan, np.array([[1.0, 0.0]], np.float32))
    with CollectionWriter.open(root, create=True) as writer:
        writer.add_space(space)
        for number, (row, caption) in enumerate(zip(ROWS, CAPTIONS, strict=True)):
            columns = {name: value for name, value in row.items() if name != "tags" or number < 4}
            info = MediaInfo(
                f"/{number}.png", Medium.IMAGE, 1, 1.0, "ab", caption=caption,
                columns=columns,  # type: ignore[arg-type]
            )  # fmt: skip
            writer.add(EmbeddedItem(info, {space.name: segments}))
    return Snapshot.open(root)


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("caption = 'a;b'", [0]),
        ("caption LIKE '%--%'", [1]),
        ("caption = '/* z */'", [2]),
        (f"caption = '{'((((' * 30}'", [3]),
        ('"Odd; -- /* name" = 4', [4]),
        ("TWEET = 1593901234567890451 OR Caption = 'plain'", [1, 4]),
        ('"TWEET" = 1593901234567890451', [1]),
        ("show = 2", [2]),
    ],
)
def test_field_33_special_characters_in_quotes_and_other_cases_are_accepted(
    snapshot: Snapshot, where: str, ids: list[int]
) -> None:
    assert matching_ids(snapshot, where).tolist() == ids


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("year > 1; --", "no column|without comments"),
        ("item_id = 1 -- x", "'--' is refused outside quotes"),
        ("(SELECT 1) = 1", "a subquery is refused"),
        ("read_text('/etc/passwd') = 'x'", "the function read_text is refused"),
        ("abs(item_id) = 1", "the function abs is refused"),
        ("item_id = $list0", "a placeholder is refused"),
        ("item_id IN ($list0)", "a placeholder is refused"),
        ("item_id IN tweet", "IN with a list of literals only"),
        ("CASE WHEN item_id = 1 THEN 1 END = 1", "CASE is refused"),
        ("item_id >", r"is not valid SQL at character \d+; expected one"),
        ("caption = 'open", "is not valid SQL"),
        ("item_id % (0) = 1", "divides by zero"),
        (f"item_id > {'9' * 39}", "39 digits, expected at most 38"),
        ("SHOW TABLES", "is not valid SQL"),
    ],
)
def test_field_33_a_refusal_uses_no_terms_of_the_parser(
    snapshot: Snapshot, where: str, message: str, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with caplog.at_level(logging.DEBUG), pytest.raises(FilterError, match=message) as caught:
        matching_ids(snapshot, where)
    assert "sqlglot" not in str(caught.value)
    assert "class" not in str(caught.value)
    assert (caplog.records, capfd.readouterr()) == ([], ("", ""))


def test_field_33_a_text_in_double_quotes_gets_a_hint_that_works(snapshot: Snapshot) -> None:
    with pytest.raises(FilterError, match="double quotes name a column") as caught:
        matching_ids(snapshot, 'modality = "image"')
    advised = str(caught.value).rpartition(": ")[2]
    assert matching_ids(snapshot, f"modality = {advised}").tolist() == [0, 1, 2, 3, 4]


def test_field_49_integers_of_19_digits_are_exact(snapshot: Snapshot) -> None:
    for number in range(5):
        assert matching_ids(snapshot, f"tweet = {TWEET + number}").tolist() == [number]
    assert matching_ids(snapshot, f"tweet > {TWEET + 2}").tolist() == [3, 4]
    assert matching_ids(snapshot, f"tweet IN ({TWEET}, {TWEET + 4})").tolist() == [0, 4]
    assert matching_ids(snapshot, f"tweet < {10**30}").tolist() == [0, 1, 2, 3, 4]


def test_field_50_decimals_are_numbers(snapshot: Snapshot) -> None:
    assert matching_ids(snapshot, "price > 10.4 AND price < 13").tolist() == [1, 2]
    assert matching_ids(snapshot, "price = 10").tolist() == []
    assert matching_ids(snapshot, "price = 10.40").tolist() == [0]


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("label = 10", "column 'label' is text; .*: label = '10'"),
        ("10 < label", "column 'label' is text"),
        ("label IN ('x', 10)", "column 'label' is text"),
        ("label BETWEEN 1 AND 2", "column 'label' is text"),
        ("lower(label) = 10", "column 'label' is text"),
        ("label = price", "column 'label' is text and column 'price' is double"),
        ("label + 1 > 3", "column 'label' is text, which does not support arithmetic"),
        ("price LIKE '10%'", "column 'price' is double; LIKE and patterns need a text"),
        ("day > 2020", "column 'day' is date; .*: day > '2020-01-31'"),
        ("taken > 5", "column 'taken' is timestamp; .*: taken > '2020-01-31 12:00:00'"),
        ("day > 'soon'", "column 'day' is date; 'soon' is not a time"),
        ("tweet > 'soon'", "column 'tweet' is int64; compare it with a number .*: tweet > 10"),
        ("tweet = '10.4'", "column 'tweet' is int64"),  # DuckDB rounds it to 10
        ("'9' < price", "column 'price' is double; .*: price > 10"),
        ("price IN (1, '2')", "column 'price' is double"),
        ("item_id BETWEEN 0 AND '3.6'", "column 'item_id' is int64"),
        ("length(label) = '3'", "is a number; compare it with a number without quotes"),
    ],
)
def test_field_50_a_type_that_does_not_fit_is_named(
    snapshot: Snapshot, where: str, kind: str
) -> None:
    with pytest.raises(FilterError, match=kind) as caught:
        matching_ids(snapshot, where)
    advised = str(caught.value).rpartition(": ")[2]
    if "compare it with" in str(caught.value):
        matching_ids(snapshot, advised)  # runs


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("day >= '2020-01-04'", [3, 4]),
        ("day > '2020-01-03 12:00'", [3, 4]),
        ("day = DATE '2020-01-02'", [1]),
        ("day IN ('2020-01-01', '2020-01-05')", [0, 4]),
        ("taken < '2020-01-01 01:30:00'", [0]),
        ("taken <= '2020-01-01T03:30:00+02:00'", [0, 1]),
        ("taken > TIMESTAMP '2020-01-01 03:00:00'", [3, 4]),
        ("taken BETWEEN '2020-01-01T01:30Z' AND '2020-01-01T02:30Z'", [1, 2]),
        ("taken >= '2020-01-02'", []),
    ],
)
def test_field_25_times_are_compared_in_utc(snapshot: Snapshot, where: str, ids: list[int]) -> None:
    assert matching_ids(snapshot, where).tolist() == ids


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("regexp_matches(caption, '^[a-z];')", [0]),
        ("regexp_matches(caption, 'PLAIN', 'i')", [4]),
        ("NOT regexp_matches(caption, '[a-z]')", [3]),
        ("regexp_matches(caption, '(a+)+$')", []),
        ("list_contains(tags, 'n2')", [2]),
        ("list_contains(tags, 3) OR list_contains(tags, 'n0')", [0, 3]),
        ("list_contains(tags, 'it''s') AND item_id > 1", [2, 3]),
        ("NOT list_contains(tags, 'n1')", [0, 2, 3]),
        ("list_contains(caption, 'plain')", []),
    ],
)
def test_field_61_patterns_and_lists(snapshot: Snapshot, where: str, ids: list[int]) -> None:
    assert matching_ids(snapshot, where).tolist() == ids


def test_field_61_a_list_after_in_may_be_long(snapshot: Snapshot) -> None:
    numbers = ", ".join(str(TWEET + 3 * number) for number in range(20_000))
    assert len(numbers) > 400_000
    assert matching_ids(snapshot, f"tweet IN ({numbers})").tolist() == [0, 3]
    assert matching_ids(snapshot, f"NOT tweet in({numbers}) AND item_id<4").tolist() == [1, 2]
    texts = ",".join(f"'it''s ({number}'" for number in range(1_000)) + ",'plain', 'a;b'"
    assert matching_ids(snapshot, f"caption IN ({texts})").tolist() == [0, 4]
    prices = ",".join(f"{number}.4" for number in range(11, 1_000))
    assert matching_ids(snapshot, f"price NOT IN ({prices})").tolist() == [0]
    mixed = ",".join(["1.5", str(10**30), "2"] + ["7"] * 1_000)
    assert matching_ids(snapshot, f"item_id IN ({mixed})").tolist() == [2]
    days = ",".join(["'2020-01-02'"] * 1_000)
    assert matching_ids(snapshot, f"day IN ({days})").tolist() == [1]
    times = ",".join(["'2020-01-01T02:30:00+01:00'", "'2020-01-01 04:30'"] * 500)
    assert matching_ids(snapshot, f"taken IN ({times})").tolist() == [1, 4]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            f"label IN ({'10, ' * 1_000}11)",
            "column 'label' is text, but .* the number 10",
        ),
        (f"tweet IN ({chr(39)}x{chr(39)}{', 1' * 1_000})", "column 'tweet' is int64, the list"),
        (f"tweet + 1 IN (1{', 1' * 1_000})", "only after a column"),
        (f"tweet IN (1{', 1' * 3_000_000})", "at most 5,000,000"),
        (f"caption = '{'x' * 10_000}'", "at most 10,000"),
    ],
)
def test_field_61_a_list_that_is_too_long_fails(
    snapshot: Snapshot, where: str, message: str
) -> None:
    with pytest.raises(FilterError, match=message) as caught:
        matching_ids(snapshot, where)
    assert len(str(caught.value)) < 500


# ---------------------------------------------------------------- time


def waiting(seconds: float) -> Iterator[pa.RecordBatch]:
    """Rows that come late: time on the clock that the filter does not use."""
    for number in range(4):
        time.sleep(seconds / 4)
        yield pa.RecordBatch.from_pydict({"item_id": np.arange(2_000) + 2_000 * number})


def test_field_58_only_cpu_time_counts_until_ten_times_the_deadline() -> None:
    condition = parse_condition("item_id < 3", (("item_id", ColumnType.INT64),))
    assert evaluate(condition, waiting(1.2), 0.6).tolist() == [0, 1, 2]
    with pytest.raises(FilterError, match=r"longer than 0\.05 s"):
        evaluate(condition, waiting(1.2), 0.05)


def test_field_58_a_filter_runs_in_its_own_thread(tmp_path: Path) -> None:
    """The watcher sees its CPU time: threads of DuckDB would use time that nobody counts."""
    count = 300_000
    batch = pa.RecordBatch.from_pydict({"item_id": np.arange(count)})
    condition = parse_condition("item_id * 7 % 11 = 3", (("item_id", ColumnType.INT64),))
    others = time.process_time() - time.thread_time()
    found = evaluate(condition, [batch], 10.0)
    others = time.process_time() - time.thread_time() - others
    assert found.tolist() == [i for i in range(count) if i * 7 % 11 == 3]
    assert others < 0.5


def test_field_61_a_slow_pattern_is_stopped(tmp_path: Path) -> None:
    captions = pa.array([f"{'ab' * 2_000}{number}" for number in range(2_000)])
    batches = [
        pa.RecordBatch.from_arrays([pa.array(np.arange(2_000)), captions], ["item_id", "caption"])
    ] * 20
    types = (("item_id", ColumnType.INT64), ("caption", ColumnType.STRING))
    patterns = " OR ".join(f"regexp_matches(caption, '(b.*a.*){{9}}x{n}')" for n in range(100))
    condition = parse_condition(patterns, types)
    with pytest.raises(FilterError, match=r"longer than 0\.2 s and was stopped"):
        evaluate(condition, batches, 0.2)
