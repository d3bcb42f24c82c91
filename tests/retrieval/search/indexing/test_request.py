import pytest

from indexes.errors import IndexBuildError
from retrieval.search.indexing.request import IndexRequest, parse_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("4G", 4 * 10**9),
        ("500M", 500 * 10**6),
        ("1.5GiB", 3 << 29),
        ("64 kb", 64_000),
        ("123", 123),
        ("2MiB", 2 << 20),
    ],
)
def test_sizes_with_and_without_units(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "G", "-3G", "4X", "1e9", "4GG", "ten", "3i"])
def test_an_invalid_size_fails(text: str) -> None:
    with pytest.raises(IndexBuildError, match="is no size in bytes"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"recall": 0.0}, "recall must be above 0"),
        ({"recall": 1.01}, "recall must be above 0"),
        ({"recall": float("nan")}, "recall must be above 0"),
        ({"memory": 0}, "memory must be above 0"),
        ({"latency_ms": -1.0}, "latency must be above 0"),
    ],
)
def test_fault_30_requests_out_of_range_fail(values: dict[str, float], reason: str) -> None:
    with pytest.raises(IndexBuildError, match=reason):
        IndexRequest(**values)  # type: ignore[arg-type]
