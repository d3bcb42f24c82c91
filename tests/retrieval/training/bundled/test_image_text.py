import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from retrieval.demo.drawing import render_scene
from retrieval.demo.scenes import Background, Colour, Scene, SceneObject, Shape, Size, Texture
from retrieval.progress import Progress
from retrieval.training.bundled import image_text as clip
from retrieval.training.bundled.image_text import HeldOutScenes, train_tiny_image
from retrieval.training.bundled.scene_pairs import (
    HELD_OUT,
    UNSEEN,
    normalize_pictures,
    resize_picture,
)
from support.stopped import assert_ends_the_same

BUNDLED = Path(str(files("retrieval"))) / "weights" / "tiny-image"


@pytest.mark.slow
def test_training_writes_a_folder_that_open_clip_loads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import open_clip

    caplog.set_level("INFO", "retrieval.training")
    report = train_tiny_image(tmp_path, steps=1, device="cpu", gallery=20)
    assert report.pairs == 384
    assert report.held_out.score.pool == 20
    assert "stage 3: 1 steps of 128 pairs on cpu" in caplog.messages
    assert caplog.messages[-1].startswith("stage 3, step 1: R@1 ")

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path}")(["a red circle", "anything ☃"])
    assert tokens.shape == (2, 48)
    assert model.encode_text(tokens).shape == (2, 256)
    assert preprocess.transforms[0].size == 64
    assert sum(p.numel() for p in model.parameters()) == report.parameters
    with safe_open(tmp_path / "open_clip_model.safetensors", "pt") as weights:
        types = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118 - no mapping
    assert types == {"F16", "I64"}  # the integers count batches, for the normalisation
    card = (tmp_path / "README.md").read_text()
    assert "384 pairs" in card
    assert str(report.held_out) in card


@pytest.mark.slow
def test_a_training_stopped_in_two_stages_resumes_and_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(clip, "BATCH", 8)

    def train(out: Path, progress: Progress) -> None:
        clip.train_tiny_image(out, steps=2, device="cpu", gallery=5, progress=progress)

    caplog.set_level("INFO", "retrieval.training")
    stops = ("training, stage 2", 1), ("training, stage 3", 2)
    assert_ends_the_same(train, tmp_path, *stops)
    assert [line for line in caplog.messages if "resuming" in line][-3:] == [
        "stage 1, resuming after 2 of 2 steps",
        "stage 2, resuming after 2 of 2 steps",
        "stage 3, resuming after 1 of 2 steps",
    ]


@pytest.fixture(scope="module")
def bundled() -> tuple[torch.nn.Module, object]:
    import open_clip

    model = open_clip.create_model(f"local-dir:{BUNDLED}").eval()
    return model, open_clip.get_tokenizer(f"local-dir:{BUNDLED}")


def test_bundled_files_are_complete() -> None:
    assert json.loads((BUNDLED / "open_clip_config.json").read_text()).keys() == {
        "model_cfg",
        "preprocess_cfg",
    }
    assert "R@1" in (BUNDLED / "README.md").read_text()


@pytest.mark.parametrize(("split", "at_10"), [(HELD_OUT, 0.98), (UNSEEN, 0.9)])
def test_bundled_model_finds_held_out_scenes(
    bundled: tuple[torch.nn.Module, object], split: int, at_10: float
) -> None:
    model, tokenizer = bundled
    scenes = HeldOutScenes(tokenizer, split, seed=1, count=200)
    score = scenes.score_with_ceiling(model, step=0)
    assert score.score.shares["R@10"] >= at_10
    assert score.score.shares["R@1"] >= 0.75
    assert score.ceiling >= 0.95


@pytest.mark.parametrize("query", ["a red circle", "red circle", "Photo of a red circle."])
def test_bundled_model_answers_short_queries(
    bundled: tuple[torch.nn.Module, object], query: str
) -> None:
    model, tokenizer = bundled
    kinds = [(colour, shape) for colour in Colour for shape in Shape if colour is not Colour.GRAY]
    pictures = [
        render_scene(
            Scene(
                (SceneObject(shape, colour, Size.LARGE, Texture.PLAIN, 4, 0.5, 0.5, 0.0),),
                Background.GRAY,
                seed=number,
            ),
            128,
        )
        for number, (colour, shape) in enumerate(kinds)
    ]
    pixels = normalize_pictures(np.stack([resize_picture(picture) for picture in pictures]))
    with torch.inference_mode():
        media = model.encode_image(pixels, True)
        text = model.encode_text(tokenizer([query]), True)
    best = (media @ text.T)[:, 0].topk(3).indices.tolist()
    assert {kinds[number][0] for number in best} == {Colour.RED}
    assert Shape.CIRCLE in [kinds[number][1] for number in best]
