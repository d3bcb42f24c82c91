import dataclasses
import json
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import indexes.gpu
from indexes.effort import Effort
from indexes.exact import exact_search
from indexes.faiss import FaissIndex
from indexes.saved import open_index
from retrieval.errors import (
    CollectionError,
    CollectionFormatError,
    CollectionNotFoundError,
    IndexBuildError,
    IndexFileError,
)
from retrieval.search import part
from retrieval.search.build import build_index
from retrieval.search.calibration import QueryKind
from retrieval.search.card import IndexCard
from retrieval.search.index_files import RowTable, open_arrow
from retrieval.search.opened import OpenedSpace
from retrieval.search.request import IndexRequest
from retrieval.store.compact import compact
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, Frames, MediaInfo, Medium, Segments, Space
from support.gpus import CpuGpus
from support.toy_encoder import ToyEncoder

DIM = 32
ENCODER = ToyEncoder()
PICTURES = Space(
    "toy-00000001", ENCODER.spec, DIM, (Medium.IMAGE, Medium.VIDEO), ENCODER.digest
)  # fmt: skip
SOUND = Space("toy-music-00000002", "toy:toy-music", DIM, (Medium.AUDIO,), "1" * 64)
PICTURE_ROWS = 30 + 30 * 4
"""Of `grow(60)`: every second item is a picture, the others videos of four segments."""


def unit(rows: int, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((rows, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def segments(medium: Medium, rows: int, seed: int) -> Segments:
    starts = np.arange(rows, dtype=np.float32) * 2
    if medium is Medium.IMAGE:
        starts = np.full(rows, np.nan, np.float32)
    return Segments([medium] * rows, starts, starts + 2, unit(rows, seed))


def item(number: int) -> EmbeddedItem:
    medium = Medium.VIDEO if number % 2 else Medium.IMAGE
    rows = 4 if medium is Medium.VIDEO else 1
    vectors = segments(medium, rows, number)
    frames = {PICTURES.name: Frames(np.arange(8) / np.float32(2), unit(8, number))}
    info = MediaInfo(
        f"/media/{number}", medium, 1, 0.0, f"{number:064x}", columns={"number": number}
    )
    return EmbeddedItem(
        info,
        {PICTURES.name: vectors, SOUND.name: segments(Medium.AUDIO, 0, 0)},
        frames if medium is Medium.VIDEO else {},
    )


def grow(root: Path, first: int, last: int) -> None:
    with CollectionWriter.open(root, create=True) as writer:
        if writer.snapshot is None:
            writer.add_space(PICTURES)
            writer.add_space(SOUND)
        for number in range(first, last):
            writer.add(item(number))


def built(
    root: Path, kind: str | None = None, *, device: str = "cpu"
) -> tuple[dict[str, IndexCard], list[str]]:
    """The newest part's card of each space, and what was said."""
    said: list[str] = []
    request = None if kind is None else IndexRequest(kind)
    cards = build_index(
        root,
        request=request,
        device=device,
        encoders=lambda _: ENCODER,
        progress=said.append,
    )
    return {card.space: card for card in cards}, said


def folder_of(root: Path, space: Space = PICTURES) -> Path:
    """The folder of the newest part."""
    return Snapshot.open(root).index_folders(space.name)[-1]


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """60 items in two shards, two of them removed."""
    root = tmp_path / "collection"
    grow(root, 0, 25)
    grow(root, 25, 60)
    with CollectionWriter.open(root) as writer:
        writer.remove([0, 31])
    return root


def test_rows_lie_in_item_order_without_removed_items(root: Path) -> None:
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


def test_items_are_the_living_ones_in_id_order(root: Path) -> None:
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


def test_the_card_says_what_was_built(root: Path) -> None:
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
        QueryKind.TEXT: 1.0,
        QueryKind.MEDIA: 1.0,
    }
    assert card.faiss


def test_an_approximate_part_is_measured_and_finds_the_same(root: Path) -> None:
    cards, _ = built(root, "IVF4,SQ8")
    card, folder = cards[PICTURES.name], folder_of(root)
    assert (card.factory, card.training_rows) == ("IVF4,SQ8", card.rows)
    assert all(0.95 <= shares[10] <= 1 for shares in card.measured.recall.values())
    exact = open_index(folder / "exact.faiss")
    approximate = open_index(folder / "part-000.faiss", dim=DIM, rows=card.rows)
    assert card.looking is not None
    index = FaissIndex(exact, approximate, Effort(4, 200))
    queries = unit(5, seed=99)
    want = exact_search(index.vectors(0, card.rows), queries, 10)
    np.testing.assert_array_equal(index.search(queries, 10)[1], want[1])


def test_a_current_index_is_kept_without_loading_its_encoder(root: Path) -> None:
    cards, _ = built(root)
    before = Snapshot.open(root).manifest
    said: list[str] = []

    def no_encoder(space: Space) -> ToyEncoder:
        raise AssertionError(space)

    again = build_index(root, encoders=no_encoder, progress=said.append)
    assert again == list(cards.values())
    assert said == [f"{space.name}: the index is current, kept" for space in (PICTURES, SOUND)]
    assert Snapshot.open(root).manifest == before


def parts(root: Path) -> list[tuple[int, int]]:
    """Rows and first item of each part of the pictures' index."""
    cards = [
        IndexCard.read(folder / "card.json")
        for folder in Snapshot.open(root).index_folders(PICTURES.name)
    ]
    return [(card.rows, card.first_item_id) for card in cards]


def test_new_items_become_a_part_and_small_parts_are_folded(root: Path) -> None:
    built(root)
    assert parts(root) == [(145, 0)]
    grow(root, 60, 62)
    built(root)
    assert parts(root) == [(145, 0), (5, 60)]
    grow(root, 62, 64)
    _, said = built(root)
    assert parts(root) == [(145, 0), (10, 60)]
    assert f"{PICTURES.name}: 5 new rows, 1 part folded in" in said
    grow(root, 64, 100)
    built(root)
    assert parts(root) == [(245, 0)]
    assert verify(root) == []


def test_another_request_builds_anew_and_none_keeps_the_old_one(root: Path) -> None:
    built(root, "exact")
    grow(root, 60, 62)
    cards, _ = built(root)
    assert cards[PICTURES.name].request.kind == "exact"
    assert parts(root) == [(145, 0), (5, 60)]
    cards, said = built(root, "auto")
    assert cards[PICTURES.name].request.kind == "auto"
    assert parts(root) == [(150, 0)]
    assert f"{PICTURES.name}: another one was asked for" in said


def test_removed_items_are_masked_until_they_are_many(root: Path) -> None:
    built(root)
    with CollectionWriter.open(root) as writer:
        writer.remove([2])
    assert "kept" in built(root)[1][0]
    assert parts(root) == [(145, 0)]
    with CollectionWriter.open(root) as writer:
        writer.remove(list(range(1, 25)))
    assert built(root)[1][0] == f"{PICTURES.name}: many of its items were removed"
    assert parts(root) == [(145 - 12 * 4 - 12 + 1 - 1, 0)]
    assert verify(root) == []


def test_parts_share_the_first_ones_quantizer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, "EXACT_PART_ROWS", 1)
    built(root, "IVF4,SQ8")
    grow(root, 60, 64)
    said = built(root)[1]
    assert not [line for line in said if "training" in line]
    first, second = (
        open_index(folder / "part-000.faiss")
        for folder in Snapshot.open(root).index_folders(PICTURES.name)
    )
    np.testing.assert_array_equal(
        first.quantizer.reconstruct_n(0, 4), second.quantizer.reconstruct_n(0, 4)
    )
    assert (first.ntotal, second.ntotal) == (145, 10)


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
        np.sort(np.concatenate([one.search(query[None], 10, None)[0] for one in opened.parts]))
        for query in queries
    ]
    np.testing.assert_allclose([line[::-1][:10] for line in got], want, atol=2e-6)


def test_an_unreadable_card_builds_anew(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    cards, _ = built(root)
    path = folder_of(root) / "card.json"
    content = path.read_text()
    path.write_text(content.replace('"version": 2', '"version": 9'))
    again, _ = built(root)
    assert again[PICTURES.name].generation > cards[PICTURES.name].generation
    assert "version 9, expected 2" in caplog.text


def test_a_space_without_rows_gets_an_empty_index(root: Path) -> None:
    cards, said = built(root, "IVF4,SQ8")
    card = cards[SOUND.name]
    assert (card.rows, card.factory, card.calibration.backgrounds) == (0, None, {})
    assert f"{SOUND.name}: 0 rows are too few for IVF4,SQ8" in said
    assert len(RowTable.open(folder_of(root, SOUND) / "rows.arrow")) == 0
    index = FaissIndex(open_index(folder_of(root, SOUND) / "exact.faiss", dim=DIM, rows=0))
    assert (index.search(unit(1, 0), 3)[1] == -1).all()


def test_fault_30_one_item(tmp_path: Path) -> None:
    root = tmp_path / "collection"
    grow(root, 0, 1)
    card = built(root)[0][PICTURES.name]
    assert card.rows == 1
    # Texts have a background; a single item has no other item to be compared with.
    assert set(card.calibration.backgrounds) == {(QueryKind.TEXT, Medium.IMAGE)}


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
    monkeypatch.setattr(indexes.gpu, "build_gpus", gpus)
    cards, said = built(root, "CAGRA32", device="cuda")
    card = cards[PICTURES.name]
    assert card.factory == "CAGRA32"
    assert card.measured.recall[QueryKind.TEXT][10] >= 0.95
    assert any("training CAGRA32" in line and "by a GPU" in line for line in said)
    found = OpenedSpace(Snapshot.open(root), PICTURES).parts[0].search(unit(1, 99), 10, None)
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

    def progress(line: str) -> None:
        if "calibrating" in line:
            os.kill(os.getpid(), signal.SIGKILL)

    build_index(root, encoders=lambda _: ENCODER, progress=progress)


def test_fault_15_index_of_another_space_fails(root: Path) -> None:
    built(root)
    path, snapshot = folder_of(root) / "card.json", Snapshot.open(root)
    card = json.loads(path.read_text())
    for change, named in (({"space": "other-9"}, r"other-9 \(32"), ({"dim": 16}, r"\(16 numbers")):
        path.write_text(json.dumps(card | change))
        with pytest.raises(CollectionFormatError, match=f"{named}.*expected {PICTURES.name}"):
            OpenedSpace(snapshot, PICTURES)


def test_an_empty_collection_fails(tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match="is not a collection"):
        built(tmp_path / "nothing")
    with CollectionWriter.open(tmp_path / "empty", create=True):
        pass
    with pytest.raises((CollectionError, CollectionNotFoundError)):
        built(tmp_path / "empty")


def test_vectors_are_read_back_in_blocks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, "BLOCK_ROWS", 7)
    card = built(root, "IVF4,SQ8")[0][PICTURES.name]
    assert open_index(folder_of(root) / "part-000.faiss").ntotal == card.rows


def test_twice_the_rows_train_anew(root: Path) -> None:
    built(root, "IVF4,SQ8")
    grow(root, 60, 150)
    cards, said = built(root)
    assert parts(root) == [(145 + 45 + 45 * 4, 0)]
    assert f"{PICTURES.name}: it was trained for 145 rows of 370" in said
    assert cards[PICTURES.name].trained_for == 370


def test_cards_are_values(root: Path) -> None:
    card = built(root)[0][PICTURES.name]
    with pytest.raises(dataclasses.FrozenInstanceError):
        card.rows = 3  # type: ignore[misc]
