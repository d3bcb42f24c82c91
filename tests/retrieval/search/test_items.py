import numpy as np
import pytest

from retrieval.collection import Collection
from retrieval.search.items import ItemTable
from retrieval.store.schema import MEDIUM_CODES


def test_rows_equal_those_of_the_shards(indexed: Collection) -> None:
    table = ItemTable(indexed.snapshot)
    for batch in indexed.snapshot.iter_items():
        for row in batch.to_pylist():
            ((uri, modality, metadata),) = table.rows([row["item_id"]])
            assert (uri, modality) == (row["uri"], row["modality"])
            assert metadata.get("caption") == row["caption"]
            assert metadata.get("width") == row["width"]
            assert "sha256" not in metadata
            assert None not in metadata.values()


def test_modalities_of_living_and_of_other_ids(copied: Collection) -> None:
    copied.remove(ids=[1])
    table = ItemTable(copied.snapshot)
    codes = table.modalities_of(np.array([0, 1, 10**6]))
    assert MEDIUM_CODES[codes[0]] == table.rows([0])[0][1]
    # Until the index is built again its table keeps the item; the searcher masks it.
    assert codes[2] == -1
    copied.index("exact")
    assert ItemTable(copied.snapshot).modalities_of(np.array([1])).tolist() == [-1]


def test_an_id_after_the_last_fails(indexed: Collection) -> None:
    with pytest.raises(IndexError):
        ItemTable(indexed.snapshot).rows([10**6])


def test_ids_with_and_without_gaps_are_found(copied: Collection) -> None:
    living = np.concatenate([b["item_id"].to_numpy() for b in copied.snapshot.iter_items()])
    last = int(living[-1])
    whole = ItemTable(copied.snapshot)
    np.testing.assert_array_equal(whole.item_ids, living)
    codes = whole.modalities_of(living)
    copied.remove(ids=[1, last - 1])
    copied.index()
    gaps = ItemTable(copied.snapshot)
    np.testing.assert_array_equal(gaps.item_ids, np.setdiff1d(living, [1, last - 1]))
    asked = np.array([-1, *living, last + 1])
    expected = np.array([-1, *np.where(np.isin(living, [1, last - 1]), -1, codes), -1])
    np.testing.assert_array_equal(gaps.modalities_of(asked), expected)
    np.testing.assert_array_equal(whole.modalities_of(asked), [-1, *codes, -1])


def test_codes_match_the_names(indexed: Collection) -> None:
    table = ItemTable(indexed.snapshot)
    names = [modality for _, modality, _ in table.rows(table.item_ids.tolist())]
    assert len(set(names)) > 1
    assert [MEDIUM_CODES[code] for code in table.modalities] == names
