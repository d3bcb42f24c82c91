"""export → import → the same answers."""

from pathlib import Path

import numpy as np
import pytest

from retrieval.collection import Collection
from retrieval.demo.world import World
from retrieval.exchange.exporting import export
from retrieval.exchange.importing import import_vectors
from retrieval.targets import ExportLayout
from retrieval.types import Hit, Medium

BACK = [ExportLayout.CLIP_RETRIEVAL, ExportLayout.PARQUET, ExportLayout.NPY]


def shown(hits: tuple[Hit, ...]) -> list[tuple[object, ...]]:
    return [(hit.uri, hit.space, hit.medium, hit.start_seconds, hit.metadata) for hit in hits]


@pytest.mark.parametrize("layout", BACK)
def test_an_imported_export_gives_the_same_answers(
    indexed: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: ExportLayout
) -> None:
    monkeypatch.setattr("retrieval.exchange.vector_files.BLOCK_ROWS", 7)
    monkeypatch.setattr("retrieval.exchange.exporting.PART_ROWS", 10)
    folders = export(indexed.snapshot, tmp_path / "out", layout)
    assert [folder.name for folder in folders] == [s.name for s in indexed.snapshot.spaces]
    report = import_vectors(tmp_path / "out", tmp_path / "c")
    assert (report.rows, report.failed) == (report.total, 0)
    assert report.added == {Medium.IMAGE: 24, Medium.AUDIO: 6, Medium.VIDEO: 3}

    again = Collection(tmp_path / "c", device="cpu")
    again._encoders = indexed._encoders
    assert again.snapshot.spaces == indexed.snapshot.spaces
    assert again.snapshot.known_files() == indexed.snapshot.known_files()
    # Without an index scores are not calibrated, so one space at a time is compared. An export
    # contains captions and no other texts.
    for space in indexed.snapshot.spaces:
        for query in ("a red circle", "a slow piano"):
            want = indexed.answer(query, k=99, spaces=[space.name], text="off").hits
            found = again.answer(query, k=99, spaces=[space.name], text="off").hits
            assert shown(found) == shown(want)
            np.testing.assert_allclose(
                [hit.score for hit in found], [hit.score for hit in want], atol=2e-3
            )


def test_vectors_are_unchanged_by_a_round_trip(indexed: Collection, tmp_path: Path) -> None:
    space = indexed.snapshot.spaces[0].name
    export(indexed.snapshot, tmp_path / "out", ExportLayout.NPY, spaces=[space])
    import_vectors(tmp_path / "out", tmp_path / "c")
    again = Collection.open(tmp_path / "c").snapshot
    for item_id in again.item_ids().tolist():
        uri = next(u for u, file in again.known_files().items() if file.item_id == item_id)
        before = indexed.snapshot.item_segments(space, indexed.snapshot.known_files()[uri].item_id)
        after = again.item_segments(space, item_id)
        assert after.media == before.media
        np.testing.assert_array_equal(after.start_seconds, before.start_seconds)
        np.testing.assert_allclose(after.vectors, before.vectors, atol=1e-3)


def test_fault_29_importing_again_changes_nothing(indexed: Collection, tmp_path: Path) -> None:
    export(indexed.snapshot, tmp_path / "out", ExportLayout.PARQUET)
    import_vectors(tmp_path / "out", tmp_path / "c")
    before = (tmp_path / "c" / "CURRENT").read_bytes()
    report = import_vectors(tmp_path / "out", tmp_path / "c")
    assert (sum(report.added.values()), report.unchanged) == (0, 33)
    assert (tmp_path / "c" / "CURRENT").read_bytes() == before


def test_embedding_the_same_files_later_changes_nothing(
    indexed: Collection, world: World, tmp_path: Path
) -> None:
    from retrieval.embedding.options import EmbedOptions

    export(indexed.snapshot, tmp_path / "out", ExportLayout.CLIP_RETRIEVAL)
    import_vectors(tmp_path / "out", tmp_path / "c")
    report = Collection(tmp_path / "c", device="cpu").add(
        world.folder, options=EmbedOptions(device="cpu", workers=0)
    )
    assert (report.unchanged, report.seen) == (33, 33)


def test_removed_items_are_not_exported(copied: Collection, tmp_path: Path) -> None:
    copied.remove(ids=[0, 1, 30])
    export(copied.snapshot, tmp_path / "out", ExportLayout.PARQUET)
    report = import_vectors(tmp_path / "out", tmp_path / "c")
    assert sum(report.added.values()) == 30


def test_progress_counts_the_rows_of_all_spaces(indexed: Collection, tmp_path: Path) -> None:
    updates: list[tuple[str, float, float | None]] = []
    export(
        indexed.snapshot,
        tmp_path / "out",
        ExportLayout.NPY,
        progress=lambda task, done, total, note="": updates.append((task, done, total)),
    )
    task, done, total = updates[-1]
    assert task == "export"
    assert done == total
    assert done > 33
    assert len(updates) == 3
