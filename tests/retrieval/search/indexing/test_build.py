import dataclasses
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest

import indexes.gpu
from indexes.effort import Effort
from indexes.errors import IndexBuildError, IndexFileError
from indexes.exact import exact_search
from indexes.faiss import FaissIndex
from indexes.saved import open_index
from retrieval.errors import CollectionError, CollectionNotFoundError
from retrieval.search.calibration import QueryType
from retrieval.search.index_files import RowTable, open_arrow
from retrieval.search.indexing import exact_part, part
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.card import CARD_VERSION, IndexCard
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.open_space import OpenedSpace
from retrieval.store.compact import compact
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.types import Medium, Space
from support.gpus import CpuGpus
from support.indexed_toys import (
    DIM,
    ENCODER,
    PICTURE_ROWS,
    PICTURES,
    SOUND,
    built,
    folder_of,
    grow,
    sixty_items,
    unit,
)
from support.messages import logged
from support.toy_encoder import ToyEncoder


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return sixty_items(tmp_path / "collection")


def test_rows_are_in_item_order_without_removed_items(root: Path) -> None:
    cards, _ = built(root)
    folder = folder_of(root)
    assert files_in(folder) == {"exact.faiss", "rows.arrow", "items.arrow", "card.json"}
    rows = RowTable.open(folder / "rows.arrow")
    blocks = list(Snapshot.open(root).iter_segments(PICTURES.name))
    for name in ("item_ids", "media", "start_seconds", "end_seconds"):
        np.testing.assert_array_equal(
            getattr(rows, name), np.concatenate([getattr(block, name) for block in blocks])
        )
    assert len(rows) == PICTURE_ROWS - 1 - 4
    index = FaissIndex(open_index(folder / "exact.faiss", dim=DIM, rows=len(rows)))
    np.testing.assert_array_equal(
        index.vectors(0, len(rows)), np.concatenate([block.vectors for block in blocks])
    )
    assert cards[PICTURES.name].rows == len(rows)


def test_item_tables_contain_living_items_in_id_order(root: Path) -> None:
    built(root)
    items = open_arrow(folder_of(root) / "items.arrow")
    assert items["item_id"].to_pylist() == [n for n in range(60) if n not in (0, 31)]
    assert items["number"].to_pylist() == items["item_id"].to_pylist()


def test_the_index_is_listed_and_verifies(root: Path) -> None:
    built(root)
    assert verify(root) == []
    card = folder_of(root) / "card.json"
    card.write_text(card.read_text().replace("auto", "outo"))
    assert [line for line in verify(root) if "card.json" in line]


def test_the_card_describes_the_part(root: Path) -> None:
    generation = Snapshot.open(root).manifest.generation
    cards, _ = built(root)
    card = cards[PICTURES.name]
    folder = folder_of(root)
    assert IndexCard.read(folder / "card.json") == card
    assert (card.request, card.factory, card.training_rows) == (IndexRequest(), None, 0)
    assert (card.dim, card.first_item_id, card.last_item_id) == (DIM, 0, 59)
    assert card.generation == generation
    assert card.bytes == sum(
        path.stat().st_size for path in folder.iterdir() if path.name != "card.json"
    )
    assert {kind: shares[10] for kind, shares in card.measured.recall.items()} == {
        QueryType.TEXT: 1.0,
        QueryType.MEDIA: 1.0,
    }
    assert card.faiss


def test_an_approximate_part_is_measured_and_finds_the_same(root: Path) -> None:
    cards, _ = built(root, "IVF4,SQ8")
    card, folder = cards[PICTURES.name], folder_of(root)
    assert (card.factory, card.training_rows) == ("IVF4,SQ8", card.rows)
    assert all(0.95 <= shares[10] <= 1 for shares in card.measured.recall.values())
    exact = open_index(folder / "exact.faiss")
    approximate = open_index(folder / "part-000.faiss", dim=DIM, rows=card.rows)
    assert set(card.efforts) == set(QueryType)
    index = FaissIndex(exact, approximate, Effort(4, 200))
    queries = unit(5, seed=99)
    want = exact_search(index.vectors(0, card.rows), queries, 10)
    np.testing.assert_array_equal(index.search(queries, 10)[1], want[1])


def test_a_current_index_stays_without_loading_its_encoder(root: Path) -> None:
    cards, _ = built(root)
    before = Snapshot.open(root).manifest

    def no_encoder(space: Space) -> ToyEncoder:
        raise AssertionError(space)

    with logged("retrieval") as lines:
        again = build_index(root, encoders=no_encoder)
    assert again == list(cards.values())
    assert lines == [
        f"{PICTURES.name}: the index is current",
        f"{SOUND.name}: no rows to index",
    ]
    assert Snapshot.open(root).manifest == before


def test_an_unreadable_card_causes_a_rebuild(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    cards, _ = built(root)
    path = folder_of(root) / "card.json"
    content = path.read_text()
    path.write_text(content.replace(f'"version": {CARD_VERSION}', '"version": 9'))
    again, _ = built(root)
    assert again[PICTURES.name].generation > cards[PICTURES.name].generation
    assert f"version 9, expected {CARD_VERSION}" in caplog.text


def test_field_42_a_space_without_rows_gets_no_index(root: Path) -> None:
    cards, said = built(root, "IVF4,SQ8")
    assert set(cards) == {PICTURES.name}
    assert f"{SOUND.name}: no rows to index" in said
    assert Snapshot.open(root).index_folders(SOUND.name) == []
    assert not (root / "indexes" / SOUND.name).exists()


def test_fault_30_one_item(tmp_path: Path) -> None:
    root = tmp_path / "collection"
    grow(root, 0, 1)
    card = built(root)[0][PICTURES.name]
    assert card.rows == 1
    # Texts have a background; a single item has no other item to be compared with.
    assert [(entry.query, entry.medium) for entry in card.calibration] == [
        (QueryType.TEXT, Medium.IMAGE)
    ]


def test_fault_30_fewer_rows_than_lists_is_exact_and_says_so(root: Path) -> None:
    cards, said = built(root, "IVF1024,SQ8")
    assert cards[PICTURES.name].factory is None
    assert f"{PICTURES.name}: 145 rows are too few for IVF1024,SQ8" in said


def test_a_factory_string_that_faiss_refuses_fails_and_publishes_nothing(root: Path) -> None:
    built(root)
    before = Snapshot.open(root).manifest
    with pytest.raises(IndexBuildError, match=r"toy-00000001: FAISS refuses 'NOPE'"):
        built(root, "NOPE")
    assert Snapshot.open(root).manifest == before
    assert verify(root) == []
    assert not list((root / "indexes").rglob("*.tmp"))


def test_a_gpu_builds_what_the_cpu_searches(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gpus(device: str, rows: int) -> CpuGpus:
        assert (device, rows) == ("cuda", cards_before[PICTURES.name].rows)
        return CpuGpus((0,))

    cards_before, _ = built(root, "exact")
    monkeypatch.setattr(indexes.gpu, "gpus_for_build", gpus)
    cards, said = built(root, "CAGRA32", device="cuda")
    card = cards[PICTURES.name]
    assert card.factory == "CAGRA32"
    assert card.measured.recall[QueryType.TEXT][10] >= 0.95
    assert any("training CAGRA32" in line and "on a GPU" in line for line in said)
    found = (
        OpenedSpace(Snapshot.open(root), PICTURES)
        .parts[0]
        .search(unit(1, 99), 10, None, QueryType.TEXT)
    )
    assert len(found[1]) == 10


def test_a_graph_without_a_gpu_fails_and_publishes_nothing(root: Path) -> None:
    built(root)
    before = Snapshot.open(root).manifest
    with pytest.raises(IndexBuildError, match="toy-00000001: CAGRA is built on a GPU"):
        built(root, "CAGRA")
    assert Snapshot.open(root).manifest == before


def test_fault_06_disk_full_keeps_the_old_index(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(root)
    before = Snapshot.open(root).manifest

    def no_space(index: object, path: Path) -> None:
        raise IndexFileError(f"{path} cannot be written: no space left")

    monkeypatch.setattr("indexes.saved.write_index", no_space)
    with pytest.raises(IndexFileError, match=r"exact\.faiss cannot be written: no space left"):
        built(root, "exact")
    assert Snapshot.open(root).manifest == before


def test_fault_02_sigkill_in_a_build_keeps_the_old_index(root: Path) -> None:
    built(root)
    old = folder_of(root)
    grow(root, 60, 80)
    process = multiprocessing.get_context("spawn").Process(target=build_until_killed, args=(root,))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert list(root.rglob(".*.tmp"))
    assert folder_of(root) == old
    assert verify(root) == []
    cards, _ = built(root)
    assert folder_of(root) != old
    assert cards[PICTURES.name].last_item_id == 79
    compact(root)
    assert not list(root.rglob(".*.tmp"))


def build_until_killed(root: Path) -> None:
    """Runs in a process of its own, which ends where scores would be calibrated."""

    def kill(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    part.measure_calibration = kill
    build_index(root, encoders=lambda _: ENCODER)


def test_an_empty_collection_fails(tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match="is not a collection"):
        built(tmp_path / "nothing")
    with CollectionWriter.open(tmp_path / "empty", create=True):
        pass
    with pytest.raises((CollectionError, CollectionNotFoundError)):
        built(tmp_path / "empty")


def test_vectors_are_read_in_blocks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_part, "BLOCK_ROWS", 7)
    card = built(root, "IVF4,SQ8")[0][PICTURES.name]
    assert open_index(folder_of(root) / "part-000.faiss").ntotal == card.rows


def test_cards_are_immutable(root: Path) -> None:
    card = built(root)[0][PICTURES.name]
    with pytest.raises(dataclasses.FrozenInstanceError):
        card.rows = 3  # type: ignore[misc]
