import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from retrieval.demo.drawing import render_scene
from retrieval.demo.scenes import Background, Colour, Scene, SceneObject, Shape, Size, Texture
from retrieval.training.clip import score_gallery, train_tiny_image
from retrieval.training.scene_pairs import HELD_OUT, UNSEEN, normalised, small_picture

BUNDLED = Path(str(files("retrieval"))) / "weights" / "tiny-image"


def test_training_writes_a_folder_that_open_clip_loads(tmp_path: Path) -> None:
    import open_clip

    said: list[str] = []
    report = train_tiny_image(tmp_path, steps=1, device="cpu", gallery=20, progress=said.append)
    assert report.pairs == 384
    assert report.held_out.scenes == 20
    assert report.held_out.recall_at_1 <= report.held_out.recall_at_10 <= 1
    assert "1 steps of 128 pairs on cpu" in said

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
    score = score_gallery(*bundled, split, seed=1, count=200)
    assert score.recall_at_10 >= at_10
    assert score.recall_at_1 >= 0.75
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
