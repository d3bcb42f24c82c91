import pytest

from indexes.choose import choose_factory, lists_for, lists_of, training_rows


@pytest.mark.parametrize(
    ("kind", "rows", "factory"),
    [
        ("auto", 10, None),
        ("auto", 199_999, None),
        ("auto", 200_000, "IVF1024,SQ8"),
        ("auto", 1_000_000, "IVF2048,SQ8"),
        ("exact", 5_000_000, None),
        ("HNSW32", 10, "HNSW32"),
        ("OPQ16,IVF64,PQ16", 64, "OPQ16,IVF64,PQ16"),
        ("OPQ16,IVF64,PQ16", 63, None),
        ("HNSW32", 0, None),
    ],
)
def test_choice_by_rows(kind: str, rows: int, factory: str | None) -> None:
    assert choose_factory(kind, rows) == factory


def test_lists_never_outnumber_rows() -> None:
    assert lists_for(1) >= 1
    assert all(lists_for(rows) <= rows for rows in range(16, 1000))


@pytest.mark.parametrize(
    ("factory", "lists"), [("IVF64,SQ8", 64), ("OPQ16,IVF65536_HNSW32,PQ16", 65_536), ("HNSW32", 0)]
)
def test_lists_are_read_from_the_factory_string(factory: str, lists: int) -> None:
    assert lists_of(factory) == lists


def test_training_sample_is_bounded() -> None:
    assert training_rows("IVF512,SQ8", 1_000) == 1_000
    assert training_rows("IVF4096,SQ8", 10_000_000) == 64 * 4096
    assert training_rows("HNSW32,SQ8", 10_000_000) == 20_000
