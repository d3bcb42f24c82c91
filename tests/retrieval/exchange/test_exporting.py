import os
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest

from indexes.errors import IndexFileError
from retrieval.collection import Collection
from retrieval.errors import (
    CollectionError,
    IndexMissingError,
    SourceError,
    SpaceMismatchError,
    StorageError,
)
from retrieval.exchange.exporting import export
from retrieval.exchange.sources import open_source
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.request import IndexRequest
from retrieval.targets import ExportLayout
from retrieval.types import Medium
from support.toy_encoder import ToyEncoder
from support.vector_items import DIM, SPACE, directions, item_of, write_items


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """Thirty pictures with a column, one of them removed, and a video of four segments."""
    rows = directions(34)
    items = [item_of(f"{n}%25.jpg", Medium.IMAGE, rows[n : n + 1], year=n) for n in range(30)]
    write_items(tmp_path / "c", [*items, item_of("film.mp4", Medium.VIDEO, rows[30:])])
    opened = Collection.open(tmp_path / "c")
    opened.remove(ids=[3])
    return opened


def stored() -> np.ndarray:
    return np.delete(directions(34), 3, axis=0).astype(np.float16)


def index(collection: Collection, kind: str) -> None:
    encoder = ToyEncoder(media=SPACE.media, dim=DIM)
    build_index(collection.root, request=IndexRequest(kind), encoders=lambda space: encoder)
    collection.refresh()


def test_npy(collection: Collection, tmp_path: Path) -> None:
    assert export(collection.snapshot, tmp_path / "o", ExportLayout.NPY) == [tmp_path / "o"]
    np.testing.assert_array_equal(np.load(tmp_path / "o" / "vectors.npy"), stored())
    rows = pq.read_table(tmp_path / "o" / "metadata.parquet").to_pylist()
    assert len(rows) == 33
    assert rows[3]["uri"] == "/archive/4%25.jpg"
    assert (rows[3]["year"], rows[3]["medium"], rows[3]["start_seconds"]) == (4, "image", None)
    assert [(row["item_id"], row["end_seconds"]) for row in rows[-4:]] == [
        (30, 2), (30, 4), (30, 6), (30, 8)
    ]  # fmt: skip


def test_clip_retrieval(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.exchange.exporting.PART_ROWS", 1)
    write_items(collection.root, [item_of("late.jpg", Medium.IMAGE, directions(1, 5))])
    collection.refresh()
    export(collection.snapshot, tmp_path / "o", ExportLayout.CLIP_RETRIEVAL)
    arrays = [np.load(tmp_path / "o" / "img_emb" / f"img_emb_{n}.npy") for n in (0, 1)]
    tables = [pq.read_table(tmp_path / "o" / "metadata" / f"metadata_{n}.parquet") for n in (0, 1)]
    np.testing.assert_array_equal(arrays[0], stored())
    assert [table.num_rows for table in tables] == [33, 1]
    assert tables[0].column("image_path")[3].as_py() == "/archive/4%.jpg"
    assert tables[0].column("caption")[0].as_py() == "what 0%25.jpg shows"
    assert open_source(tmp_path / "o").rows == 34


def test_parquet(collection: Collection, tmp_path: Path) -> None:
    export(collection.snapshot, tmp_path / "o", ExportLayout.PARQUET)
    table = pq.read_table(tmp_path / "o" / "vectors-00000.parquet")
    np.testing.assert_array_equal(
        table.column("embedding").combine_chunks().flatten().to_numpy().reshape(-1, DIM), stored()
    )


def test_user_columns_with_names_of_added_columns_are_left_out(tmp_path: Path) -> None:
    columns = {"medium": "oil", "image_path": "x", "embedding": 1.5, "year": 3}
    write_items(tmp_path / "c", [item_of("a.jpg", Medium.IMAGE, directions(1), **columns)])
    snapshot = Collection.open(tmp_path / "c").snapshot
    export(snapshot, tmp_path / "o", ExportLayout.CLIP_RETRIEVAL)
    (row,) = pq.read_table(tmp_path / "o" / "metadata" / "metadata_0.parquet").to_pylist()
    assert (row["medium"], row["image_path"], row["year"]) == ("image", "/archive/a.jpg", 3)
    assert "embedding" not in row


def test_a_plain_faiss_index_with_its_ids(collection: Collection, tmp_path: Path) -> None:
    export(collection.snapshot, tmp_path / "o", ExportLayout.FAISS)
    found = faiss.read_index(str(tmp_path / "o" / "index.faiss"))
    assert isinstance(found, faiss.IndexFlatIP)
    ids = pq.read_table(tmp_path / "o" / "ids.parquet")
    _, rows = found.search(directions(34)[[0, 10, 33]], 1)
    assert [ids.column("item_id")[row].as_py() for row in rows[:, 0].tolist()] == [0, 10, 30]
    with pytest.raises(SourceError, match="no column of vectors"):
        open_source(tmp_path / "o")


@pytest.mark.parametrize("kind", ["IVF4,SQ8", "IVF4,PQ2x4fs"])
def test_the_approximate_index_is_exported(
    collection: Collection, tmp_path: Path, kind: str
) -> None:
    """Fast scans, too, as FAISS alone reads them."""
    index(collection, kind)
    folders = export(collection.snapshot, tmp_path / "o", ExportLayout.FAISS, approximate=True)
    found = faiss.read_index(str(folders[0] / "index.faiss"))
    assert faiss.try_extract_index_ivf(found).nlist == 4
    ids = pq.read_table(folders[0] / "ids.parquet")
    assert found.ntotal == ids.num_rows == 33
    found.nprobe = 4
    _, rows = found.search(directions(34)[[0, 10, 33]], 5)
    items = np.array(ids.column("item_id").to_pylist())[rows]
    assert all(item in answer for item, answer in zip([0, 10, 30], items, strict=True))


def test_a_missing_or_outdated_approximate_index_fails(
    collection: Collection, tmp_path: Path
) -> None:
    with pytest.raises(IndexMissingError, match="no approximate index"):
        export(collection.snapshot, tmp_path / "o", ExportLayout.FAISS, approximate=True)
    index(collection, "IVF4,SQ8")
    collection.remove(ids=[5])
    with pytest.raises(IndexMissingError, match="several parts or outdated rows"):
        export(collection.snapshot, tmp_path / "o", ExportLayout.FAISS, approximate=True)
    assert not (tmp_path / "o").exists()


def test_an_export_without_vectors_fails(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(SpaceMismatchError, match="no space 'nowhere'"):
        export(collection.snapshot, tmp_path / "o", ExportLayout.NPY, spaces=["nowhere"])
    write_items(tmp_path / "empty", [])
    empty = Collection.open(tmp_path / "empty").snapshot
    with pytest.raises(CollectionError, match="holds no vectors"):
        export(empty, tmp_path / "o", ExportLayout.NPY)


def test_fault_07_an_unwritable_target_fails(collection: Collection, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "file").touch()
    for out in (tmp_path / "full", tmp_path / "file", tmp_path / "no" / "where"):
        with pytest.raises(StorageError, match=str(out)):
            export(collection.snapshot, out, ExportLayout.NPY)
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(StorageError, match="Permission denied"):
            export(collection.snapshot, tmp_path / "locked" / "o", ExportLayout.NPY)
    (tmp_path / "empty").mkdir()
    export(collection.snapshot, tmp_path / "empty", ExportLayout.NPY)
    assert (tmp_path / "empty" / "vectors.npy").is_file()


@pytest.mark.parametrize("layout", list(ExportLayout))
def test_fault_06_a_full_disk_leaves_no_files(
    collection: Collection, tmp_path: Path, layout: ExportLayout
) -> None:
    """The size that a file may have stands in for the disk."""
    import resource
    import signal

    before = sorted(tmp_path.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500, limits[1]))
    try:
        with pytest.raises((StorageError, IndexFileError), match=r"no space left"):
            export(collection.snapshot, tmp_path / "o", layout)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert sorted(tmp_path.iterdir()) == before
