import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from indexes.effort import Effort
from indexes.exact import exact_search
from indexes.faiss import FaissIndex
from indexes.saved import open_index
from retrieval.errors import CollectionFormatError
from retrieval.search.calibration import QueryType
from retrieval.search.open_space import OpenedSpace
from retrieval.store.reader import Snapshot
from support.indexed_toys import PICTURES, built, folder_of, grow, sixty_items, unit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return sixty_items(tmp_path / "collection")


def test_all_parts_are_searched_as_one(root: Path) -> None:
    built(root, "exact")
    grow(root, 60, 64)
    built(root)
    grow(root, 64, 66)
    opened = OpenedSpace(Snapshot.open(root), PICTURES)
    assert [len(one.rows) for one in opened.parts] == [145, 10, 5]
    vectors = np.concatenate([one.vectors(slice(0, len(one.rows))) for one in opened.parts])
    queries = unit(3, seed=5)
    want = exact_search(vectors, queries, 10)[0]
    got = [
        np.sort(
            np.concatenate(
                [one.search(query[None], 10, None, QueryType.MEDIA)[0] for one in opened.parts]
            )
        )
        for query in queries
    ]
    np.testing.assert_allclose([line[::-1][:10] for line in got], want, atol=2e-6)


def test_fault_15_index_of_another_space_fails(root: Path) -> None:
    built(root)
    path, snapshot = folder_of(root) / "card.json", Snapshot.open(root)
    card = json.loads(path.read_text())
    for change, named in (({"space": "other-9"}, r"other-9 \(32"), ({"dim": 16}, r"\(16 numbers")):
        path.write_text(json.dumps(card | change))
        with pytest.raises(CollectionFormatError, match=f"{named}.*expected {PICTURES.name}"):
            OpenedSpace(snapshot, PICTURES)


def test_each_query_type_has_its_own_effort(root: Path) -> None:
    cards, _ = built(root, "IVF8,Flat")
    card, folder = cards[PICTURES.name], folder_of(root)
    easy, hard = Effort(1, 10), Effort(8, 200)
    efforts = {QueryType.TEXT: easy, QueryType.MEDIA: hard}
    snapshot = Snapshot.open(root)  # which compares sizes
    (folder / "card.json").write_text(dataclasses.replace(card, efforts=efforts).to_json())
    (part,) = OpenedSpace(snapshot, PICTURES).parts
    index = FaissIndex(
        open_index(folder / "exact.faiss"), open_index(folder / "part-000.faiss"), easy
    )
    query = unit(1, seed=8)
    scores = {kind: part.search(query, 10, None, kind)[0] for kind in QueryType}
    np.testing.assert_array_equal(scores[QueryType.TEXT], index.search(query, 10)[0][0])
    want = exact_search(index.vectors(0, card.rows), query, 10)[0][0]
    np.testing.assert_allclose(scores[QueryType.MEDIA], want, atol=2e-6)
    assert scores[QueryType.TEXT].sum() < scores[QueryType.MEDIA].sum()
