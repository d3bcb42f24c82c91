"""docs/faults.md lists every fault with its tests, and no others."""

from __future__ import annotations

import re

from support.fault_list import NONE, PAGE, entries, find_tests, with_tests


def test_the_page_names_every_test_of_a_fault_and_no_other() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_tests(page, find_tests()), (
        "docs/faults.md is not in step with the tests: run `make docs`"
    )
    named = set(re.findall(r"`(test_(?:fault|field)_\w+)`", page))
    there = {test.partition("::")[2] for tests in find_tests().values() for test in tests}
    assert named == there


def test_every_number_of_a_test_is_a_fault_of_the_page() -> None:
    listed = entries(PAGE.read_text(encoding="utf-8"))
    assert len(set(listed)) == len(listed)
    assert set(find_tests()) <= set(listed)
    assert {number for word, number in listed if word == "field"} == set(range(63))


def test_every_fault_of_the_page_has_a_test() -> None:
    page = PAGE.read_text(encoding="utf-8")
    waiting = [number for word, number in entries(page) if (word, number) not in find_tests()]
    assert f"Tests: {NONE}" not in page
    assert waiting == []


def test_a_page_gains_and_loses_tests(tmp_path) -> None:
    (tmp_path / "retrieval").mkdir()
    (tmp_path / "retrieval" / "test_a.py").write_text(
        "def test_fault_07_first() -> None: ...\n\n\nclass TestIt:\n"
        "    def test_field_7_second(self) -> None: ...\n"
    )
    tests = find_tests(tmp_path)
    assert tests == {
        ("fault", 7): ["retrieval/test_a.py::test_fault_07_first"],
        ("field", 7): ["retrieval/test_a.py::test_field_7_second"],
    }
    page = (
        "## What must survive\n**7. A.** b\nTests: old\n\n**8. C.** d\nTests: old\n"
        "## What field tests found\n**7. E.** f\nTests: old\n## Else\nTests: kept\n"
    )
    assert entries(page) == [("fault", 7), ("fault", 8), ("field", 7)]
    place = "`tests/retrieval/test_a.py`:"
    assert with_tests(page, tests) == (
        f"## What must survive\n**7. A.** b\nTests: {place} `test_fault_07_first`\n\n"
        "**8. C.** d\nTests: none yet\n"
        f"## What field tests found\n**7. E.** f\nTests: {place} `test_field_7_second`\n"
        "## Else\nTests: kept\n"
    )
