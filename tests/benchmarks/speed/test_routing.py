"""Rules that choose the lists of a query."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.gap import GapRows
from benchmarks.speed.routing import main, measure

ROWS, DIM, LISTS = 3_000, 16, 32


def test_rules_visit_what_holds_the_neighbours() -> None:
    corpus = GapRows(ROWS, DIM)
    found = list(measure(corpus.block(0, ROWS), corpus.texts(120), LISTS))
    assert len(found) == 2 * 2 * 3 * 3
    for _, _, rule, share, count, visited in found:
        assert 1 <= count <= LISTS
        assert 10 * share / 2 < visited <= ROWS
        assert rule != "rank" or count == int(count)
    by_rule: dict[tuple[str, ...], list[float]] = {}
    for *names, _, _, visited in found:
        by_rule.setdefault(tuple(names), []).append(visited)
    assert all(few <= more for few, _, more in by_rule.values())


def test_the_command_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = GapRows(ROWS, DIM)
    np.save(tmp_path / "rows.npy", corpus.block(0, ROWS))
    np.save(tmp_path / "texts.npy", corpus.texts(120))
    main(str(tmp_path / "rows.npy"), str(tmp_path / "texts.npy"))
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.endswith(f"{ROWS:,} x {DIM}, 256 lists")
    assert len(lines) == 36
