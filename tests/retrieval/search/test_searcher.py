import json
from pathlib import Path

import numpy as np
import pytest

import indexes.gpu
import retrieval.search.open_space
from indexes.errors import DeviceError
from indexes.faiss import float16_rows
from indexes.gpu_exact import TorchExact
from indexes.gpu_placement import Gpu, Placement
from indexes.gpus import WORK_BYTES
from retrieval.collection import Collection
from retrieval.demo.world import World
from retrieval.embedding.options import EmbedOptions
from retrieval.errors import FilterError, QueryError
from retrieval.search.options import SearchOptions
from retrieval.search.searcher import Searcher
from retrieval.store.schema import MEDIUM_CODES
from retrieval.types import Medium


def brute_force(collection: Collection, space_name: str, query: np.ndarray) -> dict[int, float]:
    """Best score of every item in a space, from the Parquet shards alone."""
    best: dict[int, float] = {}
    for block in collection.snapshot.iter_segments(space_name):
        scores = block.vectors.astype(np.float32) @ query
        for item_id, score in zip(block.item_ids.tolist(), scores.tolist(), strict=True):
            best[item_id] = max(best.get(item_id, -2.0), score)
    return best


def image_space(collection: Collection) -> str:
    return next(s.name for s in collection.snapshot.spaces if Medium.IMAGE in s.media)


def test_scores_and_order_equal_brute_force(indexed: Collection) -> None:
    name = image_space(indexed)
    encoder = indexed.encoder(indexed.snapshot.space(name))
    for text in ("a red circle", "a night sky with a blue star"):
        want = brute_force(indexed, name, encoder.encode_text([text])[0])
        hits = indexed.answer(text, to=["image", "video"], k=100, spaces=[name], text="off").hits
        assert {hit.item_id for hit in hits} == set(want)
        np.testing.assert_allclose(
            [hit.score for hit in hits], sorted(want.values(), reverse=True), atol=2e-3
        )
        np.testing.assert_allclose(
            [hit.score for hit in hits], [want[hit.item_id] for hit in hits], atol=2e-3
        )


def test_a_gpu_finds_what_the_cpu_finds(
    indexed: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code of the GPU, with rows on the CPU."""
    rows_moved = []

    def place(cpu: indexes.gpu.FaissIndex, chosen: Placement) -> TorchExact:
        rows_moved.append(cpu.rows)
        return TorchExact(float16_rows(cpu), "cpu")

    monkeypatch.setattr(indexes.gpu, "visible_gpus", lambda: (Gpu(0, 2 * WORK_BYTES),))
    monkeypatch.setattr(indexes.gpu, "_copy_to_gpus", place)
    searcher = Searcher(indexed.snapshot, indexed.encoder, device="cuda")
    assert not rows_moved
    for query in ("a red circle", "calm piano"):
        want = indexed.search(query, k=20)
        hits = searcher.search(query, SearchOptions(k=20)).hits
        assert [hit.item_id for hit in hits] == [hit.item_id for hit in want]
        np.testing.assert_allclose(
            [hit.score for hit in hits], [hit.score for hit in want], atol=1e-5
        )
    assert len(rows_moved) == len(indexed.snapshot.spaces)


def test_a_collection_searches_on_its_device(
    indexed: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = []
    monkeypatch.setattr(
        retrieval.search.open_space,
        "index_for_device",
        lambda index, device: devices.append(device) or index,
    )
    _ = Collection(indexed.root, device="auto", localizer="similarity").searcher
    assert devices == ["auto"] * len(indexed.snapshot.spaces)


def test_a_missing_gpu_fails(indexed: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes.gpu, "visible_gpus", lambda: ())
    with pytest.raises(DeviceError, match="no CUDA device"):
        Searcher(indexed.snapshot, indexed.encoder, device="cuda")
    assert (
        Searcher(indexed.snapshot, indexed.encoder, device="auto")
        .search("x", SearchOptions(k=1))
        .hits
    )


def test_targets_choose_by_modality_and_medium(indexed: Collection) -> None:
    assert {hit.modality for hit in indexed.search("x", to=["image"], k=99)} == {Medium.IMAGE}
    assert {hit.modality for hit in indexed.search("x", to=["video"], k=99)} == {Medium.VIDEO}
    music = indexed.search("x", to=["music"], k=99)
    assert {hit.medium for hit in music} == {Medium.AUDIO}
    assert {hit.modality for hit in music} == {Medium.AUDIO, Medium.VIDEO}
    assert len(indexed.search("x", k=99)) == 24 + 6 + 3


def test_a_file_finds_itself_with_score_one(indexed: Collection, world: World) -> None:
    for item in (world.items[3], world.of(Medium.AUDIO)[2], world.of(Medium.VIDEO)[1]):
        target = {"image": "image", "audio": "music", "video": "video"}[item.modality.value]
        path = world.folder / item.file
        hits = indexed.search(f'@"{path}"', to=[target], k=3)
        assert hits[0].uri == str(path)
        assert hits[0].score == pytest.approx(1.0, abs=2e-3)


def test_an_item_has_one_hit_except_for_moments(indexed: Collection) -> None:
    ids = [hit.item_id for hit in indexed.search("music and a red star", k=99)]
    assert len(ids) == len(set(ids))
    moments = indexed.search("a red star", to=["moment"], k=50)
    assert all(hit.modality is not Medium.IMAGE for hit in moments)
    spans = [(hit.item_id, hit.medium, hit.start_seconds) for hit in moments]
    assert len(spans) == len(set(spans))
    for hit in moments:
        assert hit.start_seconds is not None
        assert hit.end_seconds is not None
        assert 0 <= hit.start_seconds < hit.end_seconds <= hit.metadata["duration_seconds"] + 0.1


def test_sums_are_weighted_means_of_directions(indexed: Collection) -> None:
    name = image_space(indexed)
    encoder = indexed.encoder(indexed.snapshot.space(name))
    one, two = encoder.encode_text(["a red circle", "a night sky"]).astype(np.float64)
    query = (one - 0.5 * two) / np.linalg.norm(one - 0.5 * two)
    hits = indexed.answer('"a red circle" - 0.5*"a night sky"', k=5, spaces=[name]).hits
    want = sorted(brute_force(indexed, name, query.astype(np.float32)).values(), reverse=True)
    np.testing.assert_allclose([hit.score for hit in hits], want[:5], atol=2e-3)


def test_fault_30_more_answers_than_items_and_none(indexed: Collection) -> None:
    assert len(indexed.search("x", to=["image"], k=10**9)) == 24
    for k in (0, -1):
        with pytest.raises(QueryError, match="at least 1"):
            indexed.search("x", k=k)


def test_fault_32_filters_keep_k_answers(indexed: Collection) -> None:
    hits = indexed.search("a red circle", where="item_id % 2 = 0 AND modality = 'image'", k=10)
    assert len(hits) == 10
    assert all(hit.item_id % 2 == 0 for hit in hits)
    assert indexed.search("x", where="item_id < 0") == ()
    with pytest.raises(FilterError):
        indexed.search("x", where="item_id IN (SELECT 1)")


def test_cutoff_drops_unlikely_hits(indexed: Collection) -> None:
    every = indexed.search("quarterly revenue forecast", k=99)
    likely = indexed.search("quarterly revenue forecast", k=99, cutoff=True)
    assert [hit.item_id for hit in likely] == [hit.item_id for hit in every if hit.likely]


def test_rows_newer_than_the_index_and_removed_ones(copied: Collection, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 64), "red").save(tmp_path / "new.png")
    copied.add(tmp_path / "new.png", options=EmbedOptions(device="cpu", workers=0))
    hits = copied.search(f'@"{tmp_path / "new.png"}"', to=["image"], k=30)
    assert hits[0].uri == str(tmp_path / "new.png")
    assert len(hits) == 25
    assert copied.remove(ids=[hits[0].item_id, hits[1].item_id]) == 2
    left = copied.search(f'@"{tmp_path / "new.png"}"', to=["image"], k=30)
    assert {hit.item_id for hit in left} == {hit.item_id for hit in hits[2:]}
    copied.compact()
    again = copied.search(f'@"{tmp_path / "new.png"}"', to=["image"], k=30)
    assert [hit.item_id for hit in again] == [hit.item_id for hit in left]


def test_a_collection_without_an_index_is_searched_exactly(
    indexed: Collection, world: World, tmp_path: Path
) -> None:
    bare = Collection(tmp_path / "bare", device="cpu")
    bare.add(world.folder / "images", options=EmbedOptions(models=("tiny",), device="cpu"))
    bare._encoders = indexed._encoders
    name = image_space(bare)
    got = bare.answer("a red circle", k=10, spaces=[name]).hits
    want = indexed.answer("a red circle", to=["image"], k=10, spaces=[name]).hits
    assert [hit.uri for hit in got] == [hit.uri for hit in want]


def test_times_and_media_of_hits_equal_those_of_the_rows(indexed: Collection) -> None:
    for hit in indexed.search("a green square", k=99):
        segments = indexed.snapshot.item_segments(hit.space, hit.item_id)
        assert hit.medium in MEDIUM_CODES
        if hit.start_seconds is None:
            assert hit.modality is Medium.IMAGE
        else:
            assert np.isclose(segments.start_seconds, hit.start_seconds).any()


def test_results_are_json(indexed: Collection) -> None:
    from retrieval.search.result_json import as_json

    document = json.loads(json.dumps(as_json(indexed.answer("a red circle", k=2))))
    assert document["query"] == "a red circle"
    assert list(document["hits"][0]) == [
        "rank", "score", "item_id", "uri", "modality", "medium", "start_seconds", "end_seconds",
        "space", "likely", "metadata", "missing", "text_score", "matched",
    ]  # fmt: skip
    assert set(document["took_ms"]) == {"encode", "filter", "search", "localize", "text"}
