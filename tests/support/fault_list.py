"""Keeps the tests that `docs/faults.md` names in step with those there are.

`python tests/support/fault_list.py` rewrites the lines of tests on the page.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "faults.md"

SECTIONS = {"## What must survive": "fault", "## What field tests found": "field"}
"""Headings of the page, and the word in the names of the tests that belong below them."""

_TEST = re.compile(r"^ *def (test_(fault|field)_(\d+)_\w+)\(", re.MULTILINE)
_ENTRY = re.compile(r"\*\*(\d+)\. ")
_TESTS_LINE = "Tests:"
NONE = "none yet"

Tests = dict[tuple[str, int], list[str]]
"""By word and number of the fault: the tests, as FILE::NAME, in order."""


def find_tests(folder: Path = TESTS) -> Tests:
    """Every test below a folder that carries the number of a fault."""
    found: Tests = {}
    for path in sorted(folder.rglob("*.py")):
        for name, word, number in _TEST.findall(path.read_text(encoding="utf-8")):
            place = path.relative_to(folder).as_posix()
            found.setdefault((word, int(number)), []).append(f"{place}::{name}")
    return found


def entries(page: str) -> list[tuple[str, int]]:
    """Word and number of every fault that a page describes, in its order."""
    found = []
    word = ""
    for line in page.splitlines():
        if line.startswith("## "):
            word = SECTIONS.get(line, "")
        entry = _ENTRY.match(line)
        if word and entry:
            found.append((word, int(entry[1])))
    return found


def with_tests(page: str, tests: Tests) -> str:
    """The page with the tests of every fault on the line that ends its entry."""
    lines = []
    word, number = "", 0
    for line in page.splitlines():
        if line.startswith("## "):
            word = SECTIONS.get(line, "")
        entry = _ENTRY.match(line)
        if word and entry:
            number = int(entry[1])
        if word and line.startswith(_TESTS_LINE):
            line = f"{_TESTS_LINE} " + _listed(tests.get((word, number), []))
        lines.append(line)
    return "\n".join(lines) + "\n"


def _listed(tests: list[str]) -> str:
    """Names by file: `folder/test_a.py`: `one`, `two`; …"""
    files: dict[str, list[str]] = {}
    for test in tests:
        place, _, name = test.partition("::")
        files.setdefault(place, []).append(f"`{name}`")
    parts = [f"`tests/{place}`: {', '.join(names)}" for place, names in files.items()]
    return "; ".join(parts) or NONE


def main() -> None:
    """Rewrite the page."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_tests(page, find_tests()), encoding="utf-8")
    waiting = [f"{word} {number}" for word, number in entries(page)
               if (word, number) not in find_tests()]  # fmt: skip
    sys.stdout.write(f"{PAGE}: {', '.join(waiting) or 'no fault'} without a test\n")


if __name__ == "__main__":
    main()
