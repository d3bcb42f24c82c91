import dataclasses
import json
from pathlib import Path

import faiss
import numpy as np
import pytest

from indexes.effort import Effort
from indexes.exact import exact_search
from indexes.faiss import FaissIndex
from indexes.saved import open_index
from retrieval.errors import CollectionFormatError, IndexFileError
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


def test_the_estimates_of_lists_are_used(root: Path) -> None:
    cards, _ = built(root, "IVF8,Flat")
    card, folder = cards[PICTURES.name], folder_of(root)
    table = np.load(folder / "lists.npy")
    assert table.shape == (8, card.dim + 1)
    efforts = dict.fromkeys(QueryType, Effort(1, 200, margin=0.0))
    snapshot = Snapshot.open(root)  # which compares sizes
    (folder / "card.json").write_text(dataclasses.replace(card, efforts=efforts).to_json())
    (part,) = OpenedSpace(snapshot, PICTURES).parts
    index = open_index(folder / "part-000.faiss")
    lists = faiss.extract_index_ivf(index).invlists
    for query in unit(5, seed=3):
        best = int(np.argmax(table[:, :-1] @ query + table[:, -1]))
        members = faiss.rev_swig_ptr(lists.get_ids(best), lists.list_size(best))
        found = part.search(query[None], 1, None, QueryType.TEXT)[0][0]
        want = (part.gather(members.copy()) @ query).max()
        assert found == pytest.approx(want, abs=1e-6)


def test_an_index_with_margins_needs_its_estimates(root: Path) -> None:
    built(root, "IVF8,Flat")
    snapshot, path = Snapshot.open(root), folder_of(root) / "lists.npy"
    for content in (b"", path.read_bytes()[:-4], None):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(
            IndexFileError, match=r"lists.npy cannot be read .*build the index again"
        ):
            OpenedSpace(snapshot, PICTURES)


def test_an_index_of_an_earlier_release_visits_a_fixed_number_of_lists(root: Path) -> None:
    """Its card has no margins, and it has no file of estimates."""
    built(root, "IVF8,Flat")
    snapshot, folder = Snapshot.open(root), folder_of(root)
    card = json.loads((folder / "card.json").read_text()) | {"version": 5}
    card["looking"] = {name: {"visited": 3, "candidates": 50} for name in card["looking"]}
    (folder / "card.json").write_text(json.dumps(card))
    (folder / "lists.npy").unlink()
    (part,) = OpenedSpace(snapshot, PICTURES).parts
    index = FaissIndex(
        open_index(folder / "exact.faiss"), open_index(folder / "part-000.faiss"), Effort(3, 50)
    )
    for query in unit(4, seed=2)[:, None]:
        want = index.search(query, 10)[0][0]
        for kind in QueryType:
            np.testing.assert_array_equal(part.search(query, 10, None, kind)[0], want)
