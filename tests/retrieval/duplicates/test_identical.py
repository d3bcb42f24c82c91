from pathlib import Path

import numpy as np
import pytest

from retrieval.collection import Collection
from retrieval.duplicates.identical import first_identical_rows
from retrieval.search.open_space import OpenedSpace
from retrieval.types import Medium
from support.vector_items import DIM, directions, item_of, near, write_items


def collection_of(tmp_path: Path, rows: np.ndarray) -> Collection:
    items = [item_of(f"{n}.jpg", Medium.IMAGE, row[None]) for n, row in enumerate(rows)]
    write_items(tmp_path / "c", items)
    return Collection.open(tmp_path / "c")


def test_first_row_of_each_vector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.duplicates.identical.BLOCK_ROWS", 3)
    rows = directions(4)[[0, 1, 0, 2, 1, 0, 3]]
    snapshot = collection_of(tmp_path, rows).snapshot
    parts = OpenedSpace(snapshot, snapshot.spaces[0]).parts
    everything = np.ones(7, np.bool_)
    assert first_identical_rows(parts, [everything], DIM).tolist() == [0, 1, 0, 3, 1, 0, 6]
    without_the_first = np.arange(7) > 0
    assert first_identical_rows(parts, [without_the_first], DIM).tolist() == [0, 1, 2, 3, 1, 2, 6]
    assert first_identical_rows([], [], DIM).tolist() == []


def test_many_copies_and_their_neighbours_form_one_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placeholder = directions(1)
    rows = np.concatenate([np.repeat(placeholder, 500, axis=0), near(placeholder, 0.1)])
    collection = collection_of(tmp_path, np.concatenate([rows, directions(20, 3)]))
    compared: list[int] = []

    def counted(self: object, other: int, queries: np.ndarray) -> object:
        compared.append(len(queries))
        return compare(self, other, queries)

    from retrieval.duplicates.neighbours import NeighbourSearch

    compare = NeighbourSearch._compare_all
    monkeypatch.setattr(NeighbourSearch, "_compare_all", counted)
    (group,) = collection.duplicates()
    assert [item.item_id for item in group.items] == list(range(501))
    assert group.items[7].matches[0].item_id == 0
    assert [match.score for match in group.items[0].matches] == [1.0] * 5
    assert group.items[500].matches[0].item_id == 0
    assert sum(compared) == 22
