from __future__ import annotations

from retrieval.columns.notices import Notices


def test_equal_notices_of_one_source_become_one_line() -> None:
    notices = Notices()
    for source, row in (("a.csv", 3), ("a.csv", 5), ("b.csv", 1)):
        notices.add("column 'n' is infinite", source=source, location=f"row {row}")
    assert notices.lines() == [
        "a.csv, row 3: column 'n' is infinite (and 1 more like this)",
        "b.csv, row 1: column 'n' is infinite",
    ]


def test_merged_notices_come_last() -> None:
    notices, other = Notices(), Notices()
    other.add("second")
    notices.add("first")
    assert notices.merge(other) is notices
    assert notices.lines() == ["first", "second"]
