import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from indexes.errors import DimensionMismatchError
from retrieval.collection import Collection
from retrieval.encoders.catalogue import load_encoder
from retrieval.errors import CollectionError, SourceError, UnknownModelError
from retrieval.exchange.importing import ImportReport, import_vectors
from retrieval.exchange.options import ImportOptions
from retrieval.types import Medium

TINY = ImportOptions(model="tiny", device="cpu")


@pytest.fixture(scope="module")
def dim() -> int:
    return load_encoder("tiny-image", device="cpu").dim


def directions(count: int, dim: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def write_source(folder: Path, vectors: np.ndarray, **columns: Sequence[object]) -> Path:
    """A Parquet file with the vectors and some columns."""
    kind = pa.list_(pa.float32(), vectors.shape[1])
    column = pa.FixedSizeListArray.from_arrays(
        pa.array(vectors.astype(np.float32).reshape(-1)), type=kind
    )
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table({**columns, "embedding": column}), folder / "v.parquet")
    return folder / "v.parquet"


def import_source(
    source: Path, root: Path, options: ImportOptions = TINY
) -> tuple[ImportReport, Collection]:
    report = import_vectors(source, root, options)
    return report, Collection.open(root)


def rows_of(collection: Collection) -> list[dict[str, object]]:
    return [row for batch in collection.snapshot.iter_items() for row in batch.to_pylist()]


def test_clip_retrieval_becomes_a_collection(tmp_path: Path, dim: int) -> None:
    source = tmp_path / "out"
    (source / "img_emb").mkdir(parents=True)
    (source / "metadata").mkdir()
    rows = 7.5 * directions(5, dim)  # of any length
    np.save(source / "img_emb" / "img_emb_0.npy", rows.astype(np.float16))
    table = {
        "image_path": ["a.jpg", "sub/b.png", "/abs/100%.jpg", "000000003", "http://x.y/e.jpg"],
        "caption": ["a", None, " c ", "d", "e"],
        "width": [640, 1, 2, 3, 4],
        "similarity": [0.5, float("nan"), 0.25, 1.0, 0.0],
    }
    pq.write_table(pa.table(table), source / "metadata" / "metadata_0.parquet")
    report, collection = import_source(source, tmp_path / "c")
    assert report.added[Medium.IMAGE] == report.total == report.rows == 5
    items = rows_of(collection)
    assert [item["uri"] for item in items] == [
        str(source / "a.jpg"),
        str(source / "sub/b.png"),
        "/abs/100%25.jpg",
        str(source / "000000003"),
        "http://x.y/e.jpg",
    ]
    assert [item["caption"] for item in items] == ["a", None, "c", "d", "e"]
    assert [item["width"] for item in items] == [640, 1, 2, 3, 4]
    assert [item["similarity"] for item in items] == [0.5, None, 0.25, 1.0, 0.0]
    (space,) = collection.snapshot.spaces
    assert space.encoder == "tiny-image"
    stored = collection.snapshot.item_segments(space.name, 1).vectors
    np.testing.assert_allclose(stored, directions(5, dim)[1:2], atol=2e-3)
    assert collection.search("a red star", k=9)  # the model and the space agree


def test_size_and_digest_of_existing_files_are_read(tmp_path: Path, dim: int) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    source = write_source(tmp_path, directions(2, dim), path=["red.png", "gone.png"])
    _, collection = import_source(source, tmp_path / "c")
    red, gone = rows_of(collection)
    assert red["bytes"] == (tmp_path / "red.png").stat().st_size
    assert red["mtime"] == (tmp_path / "red.png").stat().st_mtime
    assert len(str(red["sha256"])) == 64
    assert (gone["bytes"], gone["mtime"], gone["sha256"]) == (0, 0.0, "")
    options = ImportOptions(model="tiny", device="cpu", digest=False)
    _, collection = import_source(source, tmp_path / "d", options)
    red, _ = rows_of(collection)
    assert (red["bytes"] != 0, red["sha256"]) == (True, "")


def test_rows_of_a_video_are_its_segments(
    tmp_path: Path, dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.exchange.vector_files.BLOCK_ROWS", 2)
    source = write_source(
        tmp_path,
        directions(6, dim),
        path=["a.mp4", "a.mp4", "a.mp4", "b.mp4", "c.mp4", "d.jpg"],
        start_seconds=[2.0, 0.0, 4.0, None, None, None],
        end_seconds=[4.0, 2.0, 6.0, None, None, None],
        duration_seconds=[6.0, 6.0, 6.0, 5.0, None, None],
    )
    report, collection = import_source(source, tmp_path / "c")
    assert report.added == {Medium.IMAGE: 1, Medium.AUDIO: 0, Medium.VIDEO: 2}
    space = collection.snapshot.spaces[0].name
    segments = collection.snapshot.item_segments(space, 0)
    assert segments.start_seconds.tolist() == [0, 2, 4]
    np.testing.assert_allclose(segments.vectors, directions(6, dim)[[1, 0, 2]], atol=2e-3)
    assert collection.snapshot.item_segments(space, 1).end_seconds.tolist() == [5]
    assert report.failed == 1
    assert "needs start_seconds before end_seconds" in report.failures[0].reason


def test_fault_28_bad_vectors_go_to_failures(tmp_path: Path, dim: int) -> None:
    rows = directions(6, dim)
    rows[1], rows[2], rows[3, 0], rows[4, 0] = 0, np.nan, np.inf, 1e30
    source = write_source(tmp_path, rows, path=[f"{n}.jpg" for n in range(6)])
    report, collection = import_source(source, tmp_path / "c")
    assert (report.added[Medium.IMAGE], report.failed) == (3, 3)
    failures = collection.snapshot.failures()
    assert set(failures) == {str(tmp_path / f"{n}.jpg") for n in (1, 2, 3)}
    reason = failures[str(tmp_path / "2.jpg")].reason
    assert "v.parquet, row 2" in reason
    assert "NaN, infinite or zero" in reason
    before = (tmp_path / "c" / "CURRENT").read_bytes()
    report, collection = import_source(source, tmp_path / "c")
    assert (report.unchanged, report.failed) == (3, 3)
    assert (tmp_path / "c" / "CURRENT").read_bytes() == before


def test_fault_29_an_item_named_twice_is_taken_once(tmp_path: Path, dim: int) -> None:
    names = ["a.jpg", "a.jpg", "b.jpg", "a.jpg"]
    report, collection = import_source(
        write_source(tmp_path, directions(4, dim), path=names), tmp_path / "c"
    )
    assert (report.added[Medium.IMAGE], report.unchanged, report.rows) == (2, 0, 4)
    assert report.notes == ["2 further vectors of pictures were left out: a picture has one"]
    space = collection.snapshot.spaces[0].name
    (item_id,) = (row["item_id"] for row in rows_of(collection) if row["uri"].endswith("a.jpg"))
    stored = collection.snapshot.item_segments(space, item_id).vectors
    np.testing.assert_allclose(stored, directions(4, dim)[:1], atol=2e-3)


def test_new_items_are_added_and_existing_ones_kept(tmp_path: Path, dim: int) -> None:
    import_source(
        write_source(tmp_path / "1", directions(2, dim), path=["/a.jpg", "/b.jpg"]), tmp_path / "c"
    )
    more = write_source(tmp_path / "2", directions(3, dim, 1), path=["/b.jpg", "/c.jpg", "/d.jpg"])
    report, collection = import_source(more, tmp_path / "c")
    assert (report.added[Medium.IMAGE], report.unchanged) == (2, 1)
    assert [item["uri"] for item in rows_of(collection)] == ["/a.jpg", "/b.jpg", "/c.jpg", "/d.jpg"]
    assert len(collection.snapshot.spaces) == 1


def test_an_array_without_metadata(tmp_path: Path, dim: int) -> None:
    np.save(tmp_path / "v.npy", directions(3, dim))
    report, collection = import_source(tmp_path / "v.npy", tmp_path / "c")
    assert report.added[Medium.IMAGE] == 3
    assert [item["uri"] for item in rows_of(collection)] == [
        f"{tmp_path}/v.npy#{row}" for row in range(3)
    ]


def test_the_modality_comes_from_a_column_or_the_extension(tmp_path: Path) -> None:
    sound = load_encoder("tiny-music", device="cpu").dim
    source = write_source(
        tmp_path, directions(2, sound), path=["a.mp3", "odd"], modality=["audio", "audio"],
        duration_seconds=[9.0, 9.0],
    )  # fmt: skip
    report, collection = import_source(source, tmp_path / "c")
    assert report.added[Medium.AUDIO] == 2
    assert collection.snapshot.spaces[0].encoder == "tiny-music"


def test_an_item_of_a_medium_without_encoder_fails(tmp_path: Path, dim: int) -> None:
    source = write_source(
        tmp_path, directions(2, dim), path=["a.jpg", "b.mp3"], duration_seconds=[None, 3.0]
    )
    report, _ = import_source(source, tmp_path / "c")
    assert report.failed == 1
    assert "of audio, which tiny-image does not embed" in report.failures[0].reason


def test_columns_and_captions_by_name(tmp_path: Path, dim: int) -> None:
    source = write_source(
        tmp_path, directions(1, dim), where=["a.jpg"], said=["hello"], tags=[["x", "y"]],
    )  # fmt: skip
    options = ImportOptions(model="tiny", device="cpu", path_column="where", caption_column="said")
    _, collection = import_source(source, tmp_path / "c", options)
    (item,) = rows_of(collection)
    assert (item["uri"], item["caption"]) == (str(tmp_path / "a.jpg"), "hello")
    assert json.loads(str(item["tags"])) == ["x", "y"]
    (text,) = (row for batch in collection.snapshot.texts() for row in batch.to_pylist())
    assert (text["source"], text["text"]) == ("caption", "hello")


def test_fault_27_awkward_names(tmp_path: Path, dim: int) -> None:
    names = ['a "b"\n.jpg', "é🙂.jpg", "-x.jpg", "100%.jpg"]
    _, collection = import_source(
        write_source(tmp_path, directions(4, dim), path=names), tmp_path / "c"
    )
    assert [item["uri"] for item in rows_of(collection)] == [
        str(tmp_path / name).replace("%", "%25") for name in names
    ]


def test_fault_01_a_killed_import_resumes(
    tmp_path: Path, dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_source(tmp_path, directions(9, dim), path=[f"{n}.jpg" for n in range(9)])
    monkeypatch.setattr("retrieval.store.pending.SHARD_ROWS", 2)

    def stop(task: str, done: float, total: float | None, note: str = "") -> None:
        if (task, done, total) == ("import", 6, 9):
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        import_vectors(source, tmp_path / "c", TINY, stop)
    report, collection = import_source(source, tmp_path / "c")
    assert report.unchanged >= 4
    assert [item["uri"] for item in rows_of(collection)] == [
        str(tmp_path / f"{n}.jpg") for n in range(9)
    ]
    assert collection.verify() == []


def test_bad_input_fails_before_anything_is_published(tmp_path: Path, dim: int) -> None:
    source = write_source(tmp_path, directions(2, dim), path=["a.jpg", "b.jpg"])
    wrong = write_source(tmp_path / "w", directions(2, dim + 1), path=["a.jpg", "b.jpg"])
    music = write_source(tmp_path / "m", directions(1, dim), path=["a.jpg"])
    for options, given, error, message in (
        (ImportOptions(), source, SourceError, "does not name the model"),
        (ImportOptions(model="tny"), source, UnknownModelError, "did you mean 'tiny'"),
        (ImportOptions(model="music"), music, UnknownModelError, "music embeds no image"),
        (TINY, wrong, DimensionMismatchError, f"{dim + 1}-d vectors, tiny-image makes {dim}-d"),
    ):
        with pytest.raises(error, match=message) as caught:
            import_vectors(given, tmp_path / "c", options)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "c" / "CURRENT").exists()


def test_a_further_space_of_existing_items_is_refused(tmp_path: Path, dim: int) -> None:
    import_source(write_source(tmp_path, directions(1, dim), path=["/a.jpg"]), tmp_path / "c")
    sound = load_encoder("tiny-music", device="cpu").dim
    more = write_source(
        tmp_path / "2", directions(1, sound), path=["/b.mp3"], duration_seconds=[1.0]
    )
    with pytest.raises(CollectionError, match="import into a new collection"):
        import_vectors(more, tmp_path / "c", TINY)


@pytest.mark.parametrize("times", [1e200, 1e-200, 1e308, 5e-324 * 1e16])
def test_field_60_finite_vectors_of_any_length_are_imported(
    tmp_path: Path, dim: int, times: float
) -> None:
    """Squares of such numbers overflow or vanish; the directions are what they are."""
    rows = directions(3, dim)
    np.save(tmp_path / "v.npy", rows / np.abs(rows).max() * times)
    report, collection = import_source(tmp_path / "v.npy", tmp_path / "c")
    assert (report.failed, report.rows) == (0, 3)
    name = collection.snapshot.spaces[0].name
    stored = np.concatenate([block.vectors for block in collection.snapshot.iter_segments(name)])
    np.testing.assert_allclose(stored.astype(np.float32), rows, atol=2e-3)
