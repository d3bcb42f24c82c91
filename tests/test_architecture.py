"""docs/architecture.md and the tree agree."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
PATH = re.compile(r"`((?:indexes|retrieval|cli|benchmarks|tests)/[\w/.]*)`")


def test_every_path_of_the_page_exists() -> None:
    named = PATH.findall(TEXT)
    assert len(named) > 30
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_tables_name_every_package() -> None:
    listed = set(re.findall(r"`(?:retrieval/)?(\w+)/`", TEXT))
    packages = {path.parent.name for path in (ROOT / "retrieval").glob("*/__init__.py")}
    assert packages <= listed
    packages = {path.parent.name for path in (ROOT / "benchmarks").glob("*/__init__.py")}
    assert packages <= listed


def test_the_questions_are_answered_by_what_the_modules_define() -> None:
    """Each answer defines what its question asks for."""
    for path, name in {
        "retrieval/search/query_vectors.py": "class QueryVectors",
        "retrieval/store/publish.py": "class Publication",
        "retrieval/encoders/catalogue.py": "CATALOGUE",
        "indexes/building.py": "def ",
        "cli/main.py": "app.command",
        "benchmarks/suites/__init__.py": "SUITES",
    }.items():
        assert f"`{path}`" in TEXT
        assert name in (ROOT / path).read_text(encoding="utf-8"), (path, name)
