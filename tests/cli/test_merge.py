from __future__ import annotations

from pathlib import Path

import pytest

from cli.hints import one_line
from retrieval.errors import ClusterError, CollectionNotFoundError, SourceError
from retrieval.store.reader import Snapshot
from support.commands import run
from support.toy_runs import pictures


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Two collections of two pictures each."""
    for name, colours in (("a", ("red", "green")), ("b", ("blue", "yellow"))):
        media = pictures(tmp_path / f"media-{name}", *colours)
        run("embed", media, "-c", tmp_path / f"part-{name}", "--model", "tiny", "--workers", 0)
    return [tmp_path / "part-a", tmp_path / "part-b"]


def test_merge_and_split_print_what_they_made(parts: list[Path], tmp_path: Path) -> None:
    output = run("merge", tmp_path / "part-*", "-o", tmp_path / "all")
    assert output.startswith("4 items in ")
    assert output.rstrip().endswith(f"ids: {tmp_path / 'all-ids.parquet'}")
    assert Snapshot.open(tmp_path / "all").item_ids().tolist() == [0, 1, 2, 3]
    lines = run("split", tmp_path / "all", "-o", tmp_path / "parts", "--rows", 3).splitlines()
    assert lines == [f"{tmp_path}/parts/all-00: 3 items", f"{tmp_path}/parts/all-01: 1 item"]
    with pytest.raises(CollectionNotFoundError) as caught:
        run("merge", tmp_path / "nothing-*", "-o", tmp_path / "more")
    assert "no collection matches" in one_line(caught.value)


def test_units_of_the_sources_are_embedded_and_merged(tmp_path: Path) -> None:
    media = pictures(tmp_path / "media", "red", "green", "blue", "yellow", "white")
    for number in (1, 2):
        output = run("embed", media, "-c", tmp_path / f"unit-{number}", "--model", "tiny",
                     "--workers", 0, "--unit", f"{number}/2")  # fmt: skip
        assert output.startswith(f"{(2, 3)[number - 1]} items added")
    run("merge", tmp_path / "unit-1", tmp_path / "unit-2", "-o", tmp_path / "all")
    assert len(Snapshot.open(tmp_path / "all").item_ids()) == 5
    # Nothing was left out.
    output = run("embed", media, "-c", tmp_path / "all", "--workers", 0)
    assert "5 unchanged" in output
    with pytest.raises(SourceError) as caught:
        run("embed", media, "-c", tmp_path / "x", "--unit", "3/2")
    assert one_line(caught.value).startswith("unit 3/2: expected a number from 1")
    with pytest.raises(ClusterError) as refused:
        run("embed", media, "-c", tmp_path / "x", "--out-collections", 2)
    assert "need a cluster; add --on" in one_line(refused.value)
