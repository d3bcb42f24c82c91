import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from retrieval.demo.drawing import render_scene
from retrieval.demo.scenes import Background, Colour, Scene, SceneObject, Shape, Size, Texture
from retrieval.demo.world import HELD_OUT
from retrieval.training.bundled import image_text as clip
from retrieval.training.bundled.image_text import Gallery, train_tiny_image
from retrieval.training.bundled.scene_pairs import UNSEEN, normalised, small_picture
from retrieval.training.run import Telling
from support.stopped import assert_ends_the_same

BUNDLED = Path(str(files("retrieval"))) / "weights" / "tiny-image"


@pytest.mark.slow
def test_training_writes_a_folder_that_open_clip_loads(tmp_path: Path) -> None:
    import open_clip

    said: list[str] = []
    telling = Telling(said.append)
    report = train_tiny_image(tmp_path, steps=1, device="cpu", gallery=20, telling=telling)
    assert report.pairs == 384
    assert report.held_out.reached.pool == 20
    assert "lesson 3: 1 steps of 128 pairs on cpu" in said
    assert said[-1].startswith("lesson 3, step 1: R@1 ")

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
def test_a_training_stopped_in_two_lessons_goes_on_and_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip, "BATCH", 8)

    def train(out: Path, telling: Telling) -> None:
        clip.train_tiny_image(out, steps=2, device="cpu", gallery=5, telling=telling)

    said = assert_ends_the_same(train, tmp_path, "lesson 2 1", "lesson 3 2")
    assert [line for line in said if "going on" in line] == [
        "lesson 1, going on after 2 of 2 steps",
        "lesson 2, going on after 2 of 2 steps",
        "lesson 3, going on after 1 of 2 steps",
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
def test_bundled_model_finds_scenes_it_never_saw(
    bundled: tuple[torch.nn.Module, object], split: int, at_10: float
) -> None:
    model, tokenizer = bundled
    score = Gallery(tokenizer, split, seed=1, count=200).judge(model, step=0)
    assert score.reached.shares["R@10"] >= at_10
    assert score.reached.shares["R@1"] >= 0.75
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
    with torch.inference_mode():
        media = model.encode_image(normalised(np.stack([small_picture(p) for p in pictures])), True)
        text = model.encode_text(tokenizer([query]), True)
    best = (media @ text.T)[:, 0].topk(3).indices.tolist()
    assert {kinds[number][0] for number in best} == {Colour.RED}
    assert Shape.CIRCLE in [kinds[number][1] for number in best]
