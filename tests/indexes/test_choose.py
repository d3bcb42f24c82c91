import pytest

from indexes.choose import choose_factory, lists_for, training_rows


@pytest.mark.parametrize(
    ("kind", "rows", "factory"),
    [
        ("auto", 10, None),
        ("auto", 199_999, None),
        ("auto", 200_000, "IVF512,SQ8"),
        ("auto", 1_000_000, "IVF1024,SQ8"),
        ("exact", 5_000_000, None),
        ("HNSW32", 10, "HNSW32"),
    ],
)
def test_choice_by_rows(kind: str, rows: int, factory: str | None) -> None:
    assert choose_factory(kind, rows) == factory


def test_lists_never_outnumber_rows() -> None:
    assert lists_for(1) >= 1
    assert all(lists_for(rows) <= rows for rows in range(4, 1000))


def test_training_sample_is_bounded() -> None:
    assert training_rows(1_000) == 1_000
    assert training_rows(10_000_000) == 64 * lists_for(10_000_000)
