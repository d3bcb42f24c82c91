"""Commands in processes of their own print what they print in this one."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

from retrieval.collection import Collection
from support.commands import run

pytestmark = pytest.mark.long

MAIN = "from cli.main import main; main()"
SEARCH = ("a red circle", "-k", 3)


def process(*arguments: object) -> bytes:
    command = [sys.executable, "-c", MAIN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.parametrize("form", ["table", "json", "csv", "paths"])
def test_a_search_prints_the_same_bytes_into_a_pipe(copied: Collection, form: str) -> None:
    arguments = ("search", copied.root, *SEARCH, "--format", form)
    here, there = run(*arguments), process(*arguments).decode()
    if form == "json":
        first, second = json.loads(here), json.loads(there)
        assert first["hits"] == second["hits"]
    elif form == "csv":
        assert there == here
        rows = list(csv.DictReader(io.StringIO(there)))
        assert [row["rank"] for row in rows] == ["1", "2", "3"]
        assert {row["missing"] for row in rows} == {"False"}
    else:
        assert there == here
