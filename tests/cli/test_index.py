"""`retrieval index` as people type it, on the bundled models."""

from pathlib import Path

import pytest

import retrieval.search.indexing.choice as choice
from indexes.errors import IndexBuildError, RetrievalError
from retrieval.collection import Collection
from retrieval.store.reader import Snapshot
from support.commands import run


def test_trials_are_printed_drawn_and_kept(
    copied: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "EXACT_BELOW_ROWS", 30)
    said = run("index", copied.root, "--recall", "0.9")
    assert "trials with" in said
    assert "recall@10 text" in said
    assert ",SQ8" in said
    assert "queries/s" in said
    assert "chosen: " in said
    folders = [
        folder
        for space in copied.snapshot.spaces
        for folder in Snapshot.open(copied.root).index_folders(space.name)
    ]
    assert any((folder / "trials.png").is_file() for folder in folders)
    copied.refresh()
    assert copied.verify() == []
    assert len(copied.search("a red star", k=3)) == 3


def test_without_options_the_index_stays_as_it_was_asked_for(copied: Collection) -> None:
    assert "exact" in run("index", copied.root, "--kind", "exact")
    generation = Snapshot.open(copied.root).manifest.generation
    assert "exact" in run("index", copied.root)
    assert Snapshot.open(copied.root).manifest.generation == generation


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--memory", "plenty"), "'plenty' is no size in bytes"),
        (("--recall", "95"), "recall must be above 0"),
        (("--latency", "0"), "latency must be above 0"),
        (("--effort-seconds", "0"), "the effort must be above 0 seconds, got 0"),
        (("--kind", "NOPE"), "FAISS refuses 'NOPE'"),
    ],
)
def test_bad_options_fail_and_the_older_index_serves_on(
    copied: Collection, options: tuple[str, ...], reason: str
) -> None:
    before = Snapshot.open(copied.root).manifest
    with pytest.raises(RetrievalError, match=reason):
        run("index", copied.root, *options)
    assert Snapshot.open(copied.root).manifest == before


def test_a_memory_that_nothing_fits_names_the_smallest(
    copied: Collection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(choice, "EXACT_BELOW_ROWS", 1)
    with pytest.raises(IndexBuildError, match="fits into 1 kB; the smallest"):
        run("index", copied.root, "--memory", "1K")
