import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from retrieval.collection import Collection
from retrieval.demo.drawing import render_scene
from retrieval.demo.variations import CHANGES
from retrieval.errors import QueryError, WeightsFormatError, WeightsNotAvailableError
from retrieval.search.query import parse_query
from retrieval.search.reranking.reranker import load_reranker, rerank, text_of
from retrieval.search.reranking.tiny import BUNDLED
from retrieval.training.bundled.reranker_pairs import MEMBERS, relation_gallery
from retrieval.types import Hit, ImageGeometry, Medium
from support.media_files import make_picture


class Redness:
    """A re-ranker without weights: how red a picture is, for whatever text."""

    spec = "redness"
    geometry = ImageGeometry(8, 8, "bilinear", "squash")

    def probabilities(self, text: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert pixels.shape[1:] == (8, 8, 3)
        return pixels[..., 0].mean(axis=(1, 2)).astype(np.float32) / 255


@pytest.fixture
def hits(tmp_path: Path) -> list[Hit]:
    """Pictures of four reds, ever redder, around a recording."""
    found = []
    for number, red in enumerate((50, 100, 150, 200)):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (10, 10), (red, 0, 0)).save(path)
        found.append(
            Hit(0, 0.9 - number / 10, number, str(path), Medium.IMAGE, Medium.IMAGE, None, None,
                "s", likely=True)
        )  # fmt: skip
    sound = Hit(0, 0.85, 9, "x.wav", Medium.AUDIO, Medium.AUDIO, 0.0, 1.0, "s", likely=True)
    return [found[0], sound, *found[1:]]


def test_pictures_swap_ranks_among_themselves(hits: list[Hit]) -> None:
    result = rerank(hits, "x", Redness(), top=4)
    assert [hit.item_id for hit in result] == [2, 9, 1, 0, 3]  # the last one is out of reach
    assert result[1] == hits[1]
    assert result[4] == hits[4]
    assert result[0].score == pytest.approx(150 / 255, abs=1e-3)
    assert result[0].first_stage_score == hits[3].score
    assert [hit.first_stage_score is None for hit in result] == [False, True, False, False, True]


def test_ties_keep_the_order_of_the_first_stage(hits: list[Hit]) -> None:
    same = [replace(hit, uri=hits[0].uri) for hit in hits if hit.modality is Medium.IMAGE]
    assert [hit.item_id for hit in rerank(same, "x", Redness())] == [0, 1, 2, 3]


def test_a_missing_picture_follows_the_re_ranked_ones(
    hits: list[Hit], caplog: pytest.LogCaptureFixture
) -> None:
    Path(hits[4].uri).unlink()
    result = rerank(hits, "x", Redness())
    assert [hit.item_id for hit in result] == [2, 9, 1, 0, 3]
    assert (result[4].score, result[4].first_stage_score) == (hits[4].score, None)
    assert "3.png: not re-ranked" in caplog.text


def test_hits_without_readable_pictures_do_not_change(hits: list[Hit]) -> None:
    assert rerank(hits[1:2], "x", Redness()) == hits[1:2]
    assert rerank([], "x", Redness()) == []


def test_members_of_tars_are_read(hits: list[Hit], tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        tar.add(hits[4].uri, "in/a.png")
    member = replace(hits[4], uri=f"{tmp_path}/t.tar!in/a.png")
    assert rerank([member], "x", Redness())[0].score == pytest.approx(200 / 255, abs=1e-3)


@pytest.mark.parametrize("query", ['"a" + "b"', "@x.png", '2*"a"'])
def test_a_query_that_is_not_a_single_text_fails(query: str) -> None:
    with pytest.raises(QueryError, match="re-ranking needs a single text"):
        text_of(parse_query(query))


def test_a_search_is_re_ranked(indexed: Collection) -> None:
    plain = indexed.answer("a red circle", to=["image"], k=24)
    result = indexed.answer("a red circle", to=["image"], k=5, rerank=Redness(), rerank_top=10)
    assert len(result.hits) == 5
    assert [hit.rank for hit in result.hits] == [1, 2, 3, 4, 5]
    first = {hit.item_id: hit.score for hit in plain.hits[:10]}
    assert {hit.item_id for hit in result.hits} <= set(first)
    for hit in result.hits:
        assert hit.first_stage_score == pytest.approx(first[hit.item_id])
    scores = [hit.score for hit in result.hits]
    assert scores == sorted(scores, reverse=True)
    assert (plain.took_ms.rerank, result.took_ms.rerank > 0) == (None, True)


def test_json_contains_first_stage_scores_after_re_ranking(indexed: Collection) -> None:
    from retrieval.search.result_json import as_json

    result = indexed.answer("a red circle", to=["image"], k=2, rerank=Redness())
    document = json.loads(json.dumps(as_json(result)))
    assert all(0 < hit["first_stage_score"] < 1 for hit in document["hits"])
    assert set(document["took_ms"]) == {
        "encode", "filter", "search", "localize", "text", "rerank"
    }  # fmt: skip


def test_hits_without_pictures_keep_their_ranks(indexed: Collection) -> None:
    plain = indexed.search("a red star", k=24)
    result = indexed.search("a red star", k=24, rerank=Redness())
    for before, after in zip(plain, result, strict=True):
        assert before.modality is after.modality
        if before.modality is not Medium.IMAGE:
            assert before == after


def test_a_rerank_top_of_zero_fails(indexed: Collection) -> None:
    with pytest.raises(QueryError, match="rerank_top must be at least 1"):
        indexed.answer("x", rerank=Redness(), rerank_top=0)


# ---------------------------------------------------------------- the small one


def test_the_tiny_reranker_scores_pictures_independently() -> None:
    reranker = load_reranker("tiny", device="cpu")
    assert reranker.geometry == ImageGeometry(128, 128, "bicubic", "shortest")
    pixels = np.stack([np.asarray(make_picture(128, 128, seed)) for seed in range(5)])
    together = reranker.probabilities("a red circle above a star", pixels)
    alone = [reranker.probabilities("a red circle above a star", p[None])[0] for p in pixels]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert ((together >= 0) & (together <= 1)).all()
    assert np.ptp(together) > 0
    assert reranker.probabilities("x", pixels[:0]).shape == (0,)
    assert reranker.probabilities("long " * 5_000, pixels[:1]).shape == (1,)


def test_the_bundled_reranker_tells_look_alikes_apart() -> None:
    """A caption with a relation, beside its scene and two that differ from it in one thing."""
    scenes, asked = relation_gallery(60, seed=7, look_alikes=CHANGES)
    pixels = np.stack([render_scene(scene, 128) for scene in scenes])
    reranker = load_reranker("tiny", device="cpu")
    right = []
    for number, caption in asked:
        first = number - number % MEMBERS
        family = pixels[first : first + MEMBERS]
        right.append(reranker.probabilities(caption.text, family).argmax() == number - first)
    assert len(right) > 20
    assert np.mean(right) > 0.6  # by chance a third


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_without_a_file_fails(tmp_path: Path, name: str) -> None:
    for path in BUNDLED.iterdir():
        if path.name != name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(WeightsNotAvailableError, match=name):
        load_reranker(f"tiny:{tmp_path}", device="cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"looking_layers": 1}, r"does not fit its config\.json"),
        ({"heads": 7}, "not a re-ranker's configuration"),
        ({"unknown": 7}, "not a re-ranker's configuration"),
        ({"vocabulary": 7}, "has 512 tokens, the model 7"),
    ],
)
def test_fault_18_weights_for_another_model_fail(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    for path in BUNDLED.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(WeightsFormatError, match=message):
        load_reranker(f"tiny:{tmp_path}", device="cpu")
