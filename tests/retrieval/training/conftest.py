"""Manifests of generated pairs with words that are new to the bundled models."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from retrieval.demo.drawing import render_scene
from retrieval.demo.scenes import (
    HIDDEN_ON,
    Background,
    Colour,
    Scene,
    SceneObject,
    Shape,
    Size,
    Texture,
)

COLOURS = {
    Colour.RED: "rot",
    Colour.ORANGE: "orangefarben",
    Colour.YELLOW: "gelb",
    Colour.GREEN: "grün",
    Colour.CYAN: "türkis",
    Colour.BLUE: "blau",
    Colour.PURPLE: "lila",
    Colour.PINK: "rosa",
    Colour.BROWN: "braun",
    Colour.WHITE: "weiß",
    Colour.BLACK: "schwarz",
    Colour.GRAY: "grau",
}
GROUNDS = {
    Background.WHITE: "Papier",
    Background.BLACK: "Kohle",
    Background.GRAY: "Beton",
    Background.SUNSET: "Abendrot",
    Background.NIGHT: "Nacht",
    Background.MEADOW: "Wiese",
    Background.SEA: "Meer",
    Background.SAND: "Strand",
    Background.BRICKS: "Mauer",
    Background.SNOW: "Schnee",
}
COMBINATIONS = [
    (c, g) for c in Colour for g in Background if c not in HIDDEN_ON.get(g, frozenset())
]


@dataclass(frozen=True)
class Manifests:
    """Two manifests in one folder: pairs to train on and others to score on."""

    train: Path
    val: Path


def write_manifest(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


def draw(folder: Path, number: int, combination: tuple[Colour, Background]) -> dict[str, object]:
    """A picture of one object, with a German caption of its colour and background."""
    rng = np.random.default_rng(number)
    colour, ground = combination
    shape = list(Shape)[rng.integers(len(Shape))]
    x, y = rng.uniform(0.35, 0.65, 2).tolist()
    thing = SceneObject(shape, colour, Size.LARGE, Texture.PLAIN, 4, x, y, 0.0)
    Image.fromarray(render_scene(Scene((thing,), ground, seed=number), 64)).save(
        folder / f"{number:04}.png"
    )
    return {"path": f"{number:04}.png", "caption": f"ein {COLOURS[colour]} vor {GROUNDS[ground]}"}


@pytest.fixture(scope="session")
def german_pictures(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """216 pairs to train on, and 50 others of different combinations."""
    folder = tmp_path_factory.mktemp("pictures")
    order = np.random.default_rng(0).permutation(len(COMBINATIONS))
    train = [
        draw(folder, number, COMBINATIONS[number % len(COMBINATIONS)]) for number in range(216)
    ]
    val = [draw(folder, 1_000 + number, COMBINATIONS[number]) for number in order[:50]]
    return Manifests(
        write_manifest(folder / "train.csv", train), write_manifest(folder / "val.csv", val)
    )


@pytest.fixture(scope="session")
def few_pictures(german_pictures: Manifests) -> Manifests:
    """32 and 8 of them, for trainings of whole towers."""
    few = []
    for manifest, rows in ((german_pictures.train, 32), (german_pictures.val, 8)):
        lines = manifest.read_text().splitlines()[: rows + 1]
        few.append(manifest.with_name(f"few-{manifest.name}"))
        few[-1].write_text("\n".join(lines))
    return Manifests(*few)


SMALL_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 64, "layers": 1},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP in open_clip's format, small enough to be trained in a test: random weights."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("models") / "small"
    folder.mkdir()
    config = {"model_cfg": SMALL_CLIP, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    return folder


@pytest.fixture(scope="session")
def small_mulan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MuLan with random weights, small enough to be trained in a test."""
    from support.small_models.sounds import save_mulan

    return save_mulan(tmp_path_factory.mktemp("models") / "small-mulan")


TONES_HZ = {"tief": 110.0, "mittel": 440.0, "hoch": 1_760.0, "schrill": 5_000.0}


@pytest.fixture(scope="session")
def german_tones(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """Sixteen recordings of two tones each; start and end separate the tones."""
    folder = tmp_path_factory.mktemp("tones")
    times = np.arange(2 * 16_000) / 16_000
    rows = []
    names = list(TONES_HZ)
    for number in range(16):
        two = names[number % 4], names[(number + 1 + number // 4) % 4]
        sound = [np.sin(2 * np.pi * TONES_HZ[name] * times + number) for name in two]
        soundfile.write(folder / f"{number}.wav", 0.5 * np.concatenate(sound), 16_000)
        for place, name in enumerate(two):
            span = {"start_seconds": 2 * place, "end_seconds": 2 * place + 2}
            rows.append({"path": f"{number}.wav", "caption": f"ein Ton, {name}", **span})
    return Manifests(
        write_manifest(folder / "train.csv", rows[:24]),
        write_manifest(folder / "val.csv", rows[24:]),
    )
