import numpy as np
import pytest

from retrieval.collection import Collection
from retrieval.search.items import ItemTable
from retrieval.store.schema import MEDIUM_CODES


def test_rows_are_those_of_the_shards(indexed: Collection) -> None:
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


def test_an_id_behind_the_last_fails(indexed: Collection) -> None:
    with pytest.raises(IndexError):
        ItemTable(indexed.snapshot).rows([10**6])
