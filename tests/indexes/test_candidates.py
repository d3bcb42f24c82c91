import pytest

from indexes.candidates import (
    candidates,
    factory_for_kind,
    factory_lists,
    fit_memory,
    format_bytes,
    gpu_candidates,
    list_count,
    training_rows,
)
from indexes.errors import IndexBuildError
from retrieval.search.indexing.request import parse_bytes

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("kind", "rows", "factory"),
    [
        ("exact", 5_000_000, None),
        ("HNSW32", 10, "HNSW32"),
        ("OPQ16,IVF64,PQ16", 64, "OPQ16,IVF64,PQ16"),
        ("OPQ16,IVF64,PQ16", 63, None),
        ("HNSW32", 0, None),
    ],
)
def test_requested_kind_needs_as_many_rows_as_lists(
    kind: str, rows: int, factory: str | None
) -> None:
    assert factory_for_kind(kind, rows) == factory


def test_all_documented_kinds_are_candidates() -> None:
    assert [one.factory(MILLION) for one in candidates(512)] == [
        None,
        "HNSW32",
        "HNSW32_SQfp16",
        "HNSW32_SQ8",
        "IVF4096,SQ8",
        "IVF4096,RaBitQ",
        "IVF4096,RaBitQfs",
        "IVF4096,PQ256x4fs",
        "IVF4096,PQ128x4fs",
        "OPQ128,IVF4096,PQ128x4fs",
        "OPQ64,IVF4096,PQ64x4fs",
    ]


def test_gpu_candidates_are_searchable_on_gpu() -> None:
    """FAISS has GPU kernels for codes of 64 and 96 bytes, but not of 128."""
    of = {dim: [one.factory(MILLION) for one in gpu_candidates(dim)] for dim in (512, 768, 1024)}
    usual = ["CAGRA", "IVF4096,SQfp16", "IVF4096,SQ8"]
    assert of[512] == [*usual, "IVF4096,PQ64", "IVF4096,PQ32"]
    assert of[768] == [*usual, "IVF4096,PQ96", "IVF4096,PQ48"]
    assert of[1024] == [*usual, "IVF4096,PQ64"]


def test_indivisible_dimensions_have_no_product_quantizer() -> None:
    assert not [one for one in candidates(33) if "PQ" in (one.template or "")]


def test_bytes_of_a_million_rows_by_hand() -> None:
    by_name = {one.factory(MILLION): one.bytes(MILLION) for one in candidates(512)}
    lists = 4096 * (512 * 4 + 8)
    assert by_name[None] == 1024 * MILLION
    assert by_name["IVF4096,SQ8"] == (512 + 8) * MILLION + lists
    assert by_name["HNSW32"] == (2048 + 272) * MILLION
    # 244 rows a list: 260.6 in blocks of 32.
    fixed = 512 * 16 * 4 + 512 * 512 * 4
    filled = by_name["OPQ64,IVF4096,PQ64x4fs"] - lists - fixed
    assert filled == pytest.approx((32 + 8) * 4096 * 260.5, rel=1e-3)


def test_field_56_short_lists_are_mostly_padding() -> None:
    """A single row takes a block; long lists gain half a block on average."""
    (kind,) = [one for one in candidates(64) if one.template == "IVF{lists},PQ32x4fs"]
    assert kind.bytes(1) == pytest.approx(32 * 24 + 4 * 64 + 8 + 4096, abs=8)
    assert kind.bytes(0) == 4096 + 4 * 64 + 8
    rows = 100_000_000
    added = kind.bytes(rows) - 24 * rows - list_count(rows) * (4 * 64 + 8) - 4096
    assert added == pytest.approx(24 * 16 * list_count(rows), rel=0.01)


def test_memory_limit_filters_candidates() -> None:
    fit = fit_memory(candidates(512), MILLION, 100_000_000)
    assert {one.factory(MILLION) for one in fit} == {
        "IVF4096,RaBitQ",
        "IVF4096,RaBitQfs",
        "IVF4096,PQ128x4fs",
        "OPQ128,IVF4096,PQ128x4fs",
        "OPQ64,IVF4096,PQ64x4fs",
    }
    assert fit_memory(candidates(512), MILLION, None) == candidates(512)


def test_fault_10_too_small_memory_limit_names_smallest_index() -> None:
    with pytest.raises(IndexBuildError, match="fits into 1 MB; the smallest, OPQ64") as caught:
        fit_memory(candidates(512), MILLION, 1_000_000)
    assert "raise the memory limit" in str(caught.value)


def test_list_count_is_at_most_row_count() -> None:
    assert list_count(1) >= 1
    assert all(list_count(rows) <= rows for rows in range(1, 1000))


@pytest.mark.parametrize(
    ("factory", "lists"), [("IVF64,SQ8", 64), ("OPQ16,IVF65536_HNSW32,PQ16", 65_536), ("HNSW32", 0)]
)
def test_factory_lists_parses_factory_string(factory: str, lists: int) -> None:
    assert factory_lists(factory) == lists


def test_training_sample_is_limited() -> None:
    assert training_rows("IVF512,SQ8", 1_000) == 1_000
    assert training_rows("IVF4096,SQ8", 10_000_000) == 64 * 4096
    assert training_rows("HNSW32,SQ8", 10_000_000) == 20_000


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1 kB"),
        (1_500_000, "1.5 MB"),
        (2_000_000_000, "2 GB"),
        (41_234_567, "41.24 MB"),
        (999_999, "1 MB"),
        (1_636_000_000_001, "1.637 TB"),
    ],
)
def test_format_bytes(count: int, text: str) -> None:
    assert format_bytes(count) == text


def test_field_56_formatted_memory_suffices_as_limit() -> None:
    for rows in (1, 300, 20_000, 1_234_567, 80_000_001):
        with pytest.raises(IndexBuildError) as caught:
            fit_memory(candidates(96), rows, 10)
        named = str(caught.value).split("takes ")[1].split(":")[0]
        assert fit_memory(candidates(96), rows, parse_bytes(named))
