"""Collections made by real architectures with random weights."""

import json
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from cli.main import app
from retrieval.demo.world import World


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ViT-B-32", "PE-Core-T-16-384"])
def test_a_collection_by_a_real_architecture(name: str, world: World, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = open_clip.create_model(name).state_dict()
    save_file({key: t.half().contiguous() for key, t in state.items()}, tmp_path / "w.safetensors")
    folder, collection = world.folder / "images", tmp_path / "c"
    model = ("--model", f"open_clip:{name}/{tmp_path / 'w.safetensors'}")
    said = run("embed", folder, world.folder / "videos", "-c", collection, *model, "--fps", 0.5)
    assert said.startswith("27 items added (24 images, 0 recordings, 3 videos)")
    assert "512 numbers" in run("index", collection)
    picture = sorted(folder.glob("*.png"))[5]
    hits = json.loads(run("search", collection, f"@{picture}", "--format", "json"))["hits"]
    assert hits[0]["uri"] == str(picture)
    assert hits[0]["score"] == pytest.approx(1, abs=2e-3)
    words = json.loads(run("search", collection, "a red circle", "-k", 30, "--format", "json"))
    assert len(words["hits"]) == 27
