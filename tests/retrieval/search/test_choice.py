from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import retrieval.search.choice as choice
from benchmarks.speed.gap import GapRows
from indexes.building import build_exact
from indexes.choose import Candidate
from indexes.errors import IndexBuildError
from indexes.faiss import FaissIndex
from indexes.tuning import QuerySample
from retrieval.search.choice import Trial, choose
from retrieval.search.measuring import samples_of
from retrieval.search.pareto import draw_trials, plot_text
from retrieval.search.request import IndexRequest
from support.index_cards import CARD

ROWS, DIM = 6_000, 64
CORPUS = GapRows(ROWS, DIM)
TEXTS = CORPUS.texts(60)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "EXACT_BELOW_ROWS", 1_000)
    monkeypatch.setattr(choice, "TRIAL_ROWS", 2_000)


@pytest.fixture(scope="module")
def exact() -> FaissIndex:
    return FaissIndex(build_exact(CORPUS.blocks(), DIM))


def ask(index: FaissIndex) -> Mapping[str, QuerySample]:
    return samples_of(index, TEXTS)


def test_few_rows_are_searched_exactly_without_a_trial(
    exact: FaissIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "EXACT_BELOW_ROWS", ROWS + 1)
    chosen = choose(exact, IndexRequest(), ask, lambda line: None)
    assert (chosen.factories, chosen.trials) == ((None,), ())


def test_every_kind_that_fits_is_tried_and_the_fastest_comes_first(exact: FaissIndex) -> None:
    said: list[str] = []
    chosen = choose(exact, IndexRequest(recall=0.9), ask, said.append)
    assert len(chosen.trials) == len(said) == 9
    assert not any("OPQ" in line for line in said)  # something without a rotation reached it
    assert all(trial.rows == 2_000 for trial in chosen.trials)
    reached = [trial for trial in chosen.trials if trial.reached]
    assert all(min(trial.recall.values()) >= 0.9 for trial in reached)
    fastest = max(trial.queries_per_second for trial in reached)
    by_name = {(trial.factory or "").replace("IVF128", "IVF256"): trial for trial in chosen.trials}
    first = by_name[chosen.factories[0] or ""]
    assert first.queries_per_second >= choice.NEARLY * fastest
    assert len(chosen.factories) == len(reached)


def test_memory_leaves_only_what_fits(exact: FaissIndex) -> None:
    budget = 64 * 4 * 256 + ROWS * 30
    chosen = choose(exact, IndexRequest(recall=0.8, memory=budget), ask, lambda line: None)
    assert all(trial.bytes_per_row <= 30 for trial in chosen.trials)
    smallest = 64 * 4 * 256 + ROWS * 13
    chosen = choose(exact, IndexRequest(recall=0.8, memory=smallest), ask, lambda line: None)
    assert [trial.factory for trial in chosen.trials] == ["OPQ8,IVF128,PQ8x4fs"]
    with pytest.raises(IndexBuildError, match="no index of 6,000 rows fits into"):
        choose(exact, IndexRequest(memory=1_000), ask, lambda line: None)


def test_a_latency_that_exact_search_keeps_makes_it_exact(exact: FaissIndex) -> None:
    chosen = choose(exact, IndexRequest(latency_ms=10_000.0), ask, lambda line: None)
    assert chosen.factories == (None,)
    assert "within 10000 ms" in chosen.reason


def test_no_kind_in_reach_gives_the_best(
    exact: FaissIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = [Candidate("IVF{lists},PQ2x4fs", DIM, 9)]
    monkeypatch.setattr(choice, "candidates", lambda dim: coarse)
    chosen = choose(exact, IndexRequest(recall=0.999), ask, lambda line: None)
    assert chosen.factories == ("IVF256,PQ2x4fs",)
    assert chosen.reason == "no kind reached the target in its trial"


TRIALS = (
    Trial(None, 2_000, {"text": 1.0, "media": 1.0}, True, 90.0, 128, 0.0, ((1.0, 90.0),)),
    Trial(
        "IVF64,SQ8", 2_000, {"text": 0.9, "media": 0.96}, False, 800.0, 72.0, 0.1,
        ((0.3, 2_000.0), (0.7, 1_500.0), (0.9, 800.0)),
    ),
)  # fmt: skip


def test_trials_are_drawn_in_text() -> None:
    lines = plot_text(TRIALS).splitlines()
    assert lines[0].strip() == "queries/s"
    assert lines[1].split()[0] == "10000"
    rows = {line.index("b"): number for number, line in enumerate(lines[1:17]) if "b" in line}
    assert len(rows) == 2  # the point below a recall of a half is left out
    assert [number for _, number in sorted(rows.items())] == sorted(rows.values())
    assert lines[-2:] == ["           a  exact", "           b  IVF64,SQ8"]


def test_trials_are_drawn_as_a_picture(tmp_path: Path) -> None:
    draw_trials(replace(CARD, trials=TRIALS), tmp_path / "trials.png")
    picture = np.asarray(Image.open(tmp_path / "trials.png"))
    assert picture.shape == (520, 900, 3)
    red, blue = (192, 57, 43), (36, 113, 163)
    for colour in (red, blue):
        assert (picture == colour).all(axis=2).any()
