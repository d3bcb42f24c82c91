from pathlib import Path

import faiss
import pytest

from retrieval.collection import Collection
from retrieval.demo.world import World
from retrieval.embedding.options import EmbedOptions
from retrieval.errors import ModelError, SourceError, UnknownModelError
from retrieval.estimate.costs import Estimate, estimate_collection, estimate_sources
from support.messages import logged

TINY = EmbedOptions(models=("tiny",), device="cpu", workers=1)


def rows(found: Estimate) -> dict[str, tuple[int, int]]:
    return {cost.encoder: (cost.segments, cost.frames) for cost in found.spaces}


def test_the_estimate_equals_what_embedding_creates(indexed: Collection, world: World) -> None:
    before = estimate_sources([str(world.folder)], TINY, timed=False)
    after = estimate_collection(indexed.root)
    assert before.items == after.items == {"image": 24, "audio": 6, "video": 3}
    for encoder, (segments, frames) in rows(after).items():
        guessed = rows(before)[encoder]
        assert guessed[0] == pytest.approx(segments, rel=0.08, abs=3)
        assert guessed[1] == pytest.approx(frames, rel=0.08, abs=3)
    assert before.embed_seconds is None
    assert before.media_bytes == sum(
        path.stat().st_size for path in world.folder.rglob("*.*")
        if path.suffix in (".png", ".flac", ".wav", ".mp3", ".mp4", ".ogg")
    )  # fmt: skip


def test_the_time_is_measured_on_the_files(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.estimate.timing.BUDGET_SECONDS", 0.5)
    with logged("retrieval") as lines:
        found = estimate_sources([str(world.folder)], TINY)
    assert found.embed_seconds is not None
    assert 0 < found.embed_seconds < 600
    assert {"timing image", "timing audio", "timing video"} <= set(lines)
    assert [cost.dim for cost in found.spaces] == [256, 128, 256]


def test_sizes_of_a_collection_are_those_on_its_disk(indexed: Collection) -> None:
    found = estimate_collection(indexed.root)
    folders = ("items", "texts", "sidecars", "segments", "frames")
    paths = [path for folder in folders for path in (indexed.root / folder).rglob("*.parquet")]
    assert found.collection_bytes == sum(path.stat().st_size for path in paths)
    exact = found.spaces[0].indexes[0]
    (folder,) = (indexed.root / "indexes" / indexed.snapshot.spaces[0].name).iterdir()
    written = sum((folder / name).stat().st_size for name in ("exact.faiss", "rows.arrow"))
    # The formula counts equal vectors, which an index stores once.
    twins = found.spaces[0].segments - faiss.read_index(str(folder / "exact.faiss")).ntotal
    assert twins > 0
    saved = twins * 2 * found.spaces[0].dim
    assert exact.disk_bytes - saved == pytest.approx(written, rel=0.05, abs=3_000)


def test_fault_30_nothing_to_embed(tmp_path: Path) -> None:
    found = estimate_sources([str(tmp_path)], TINY, timed=False)
    assert sum(found.items.values()) == found.collection_bytes == 0


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        estimate_sources([str(tmp_path / "nowhere")], TINY, timed=False)
    with pytest.raises(UnknownModelError, match="did you mean 'tiny'"):
        estimate_sources([str(tmp_path)], EmbedOptions(models=("tny",)), timed=False)
    with pytest.raises(ModelError, match="known only after loading it"):
        estimate_sources([str(tmp_path)], EmbedOptions(models=("pe-av",)), timed=False)


@pytest.mark.parametrize(("model", "dims"), [("small", [768, 512]), ("base", [1024, 512])])
def test_sizes_without_weights(tmp_path: Path, model: str, dims: list[int]) -> None:
    found = estimate_sources([str(tmp_path)], EmbedOptions(models=(model,)), timed=False)
    assert [cost.dim for cost in found.spaces] == dims


def test_field_06_bad_rows_of_a_list_are_excluded(world: World, tmp_path: Path) -> None:
    picture = next((world.folder / "images").glob("*.png"))
    (tmp_path / "rows.jsonl").write_text(
        f'{{"path": null}}\n{{"path": "{picture}"}}\n{{"path": "gone.png"}}\n'
    )
    found = estimate_sources([str(tmp_path / "rows.jsonl")], TINY, timed=False)
    assert found.items["image"] == 1
