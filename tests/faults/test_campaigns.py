"""The campaigns, in a short form with every run of the tests, and whole by `make test-faults`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest

from faults.cases import Case, cases, tell
from faults.children import run_batches, run_in_child, run_isolated, run_together
from faults.damaged import make_whole
from faults.filters import make_items
from faults.full_disk import FullDisk, faults
from faults.kills import kill_case, references
from faults.lists import HOSTILE, HostileList
from faults.media import BATCH, Mutants, real_files, write_samples
from faults.writing import Stage, prepare

pytestmark = pytest.mark.long


def sizes(short: int, whole: int) -> pytest.MarkDecorator:
    """How many cases: a few for `make test`, all for `make test-faults`."""
    return pytest.mark.parametrize(
        "count",
        [
            pytest.param(short, id="short"),
            pytest.param(whole, id="whole", marks=pytest.mark.campaign),
        ],
    )


def spread(every: Iterable[Case], count: int) -> list[Case]:
    """So many of the cases, evenly chosen."""
    found = list(every)
    return found[:: max(1, len(found) // count)][:count]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The collections that commands run on."""
    return run_in_child(prepare, tmp_path_factory.mktemp("stage") / "s")


@sizes(6, 200)
def test_kills_with_readers(stage: Stage, tmp_path: Path, count: int) -> None:
    known = run_in_child(references, stage, tmp_path)
    results = run_together(partial(kill_case, stage=stage, known=known), cases("kills", count))
    tell("kills", results)


@sizes(12, 10_000)
def test_full_disk(stage: Stage, tmp_path: Path, count: int) -> None:
    every = run_in_child(faults, stage, tmp_path / "measured")
    some = spread(cases("full-disk", len(every)), count)
    tell("full-disk", run_isolated(FullDisk(stage, every), some))


@sizes(24, 1000)
def test_damaged_collections(tmp_path: Path, count: int) -> None:
    damage = run_in_child(make_whole, tmp_path / "whole")
    tell("collections", run_isolated(damage, cases("collections", count)))


@sizes(30, 2000)
def test_mutated_media(tmp_path: Path, count: int) -> None:
    samples = run_in_child(write_samples, tmp_path / "samples")
    mutants = Mutants(tmp_path, [*samples.values(), *(real_files() if count > 30 else ())])
    tell("media", run_batches(mutants.batch, cases("media", count), min(BATCH, count // 2), 1800.0))


@sizes(8, len(HOSTILE))
def test_hostile_lists(tmp_path: Path, count: int) -> None:
    some = spread(cases("lists", len(HOSTILE)), count)
    tell("lists", run_isolated(HostileList(tmp_path), some))


@sizes(25, 200)
def test_hostile_filters(tmp_path: Path, count: int) -> None:
    hostile = run_in_child(make_items, tmp_path / "items")
    tell("filters", run_isolated(hostile, spread(cases("filters", 200), count)))
