import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import retrieval
from cli.main import app
from indexes.errors import RetrievalError
from retrieval.demo.world import World
from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.mulan import MulanEncoder, read_config, write_config
from retrieval.encoders.mulan_sizes import (
    MULAN_AST,
    MULAN_RESNET,
    MULAN_SIZES,
    TINY,
    MulanConfig,
    ResNetSize,
    TransformerSize,
)
from retrieval.encoders.towers import Mulan
from retrieval.errors import WeightsFormatError
from retrieval.training.bundled.music_text import save_weights, write_vocabulary
from retrieval.types import Medium

SMALL = TransformerSize(width=16, heads=2, layers=1)
TEXT = {"text": SMALL, "vocabulary": 300, "context_length": 16}
REDUCED = {
    "mulan-ast": dataclasses.replace(MULAN_AST, audio=SMALL, **TEXT),
    "mulan-resnet": dataclasses.replace(
        MULAN_RESNET, audio=ResNetSize(width=4, blocks=(1, 1, 1, 1), bottleneck=True), **TEXT
    ),
}
"""The paper's models at reduced width."""


def build(config: MulanConfig, folder: Path) -> Path:
    """Write a folder with random weights."""
    torch.manual_seed(0)
    folder.mkdir()
    write_vocabulary(folder, config, ["a slow piano", "fast drums", "a flute in a cave"])
    save_weights(Mulan(config), folder)
    return folder


@pytest.mark.parametrize("name", REDUCED)
def test_both_towers_of_the_paper_work_in_the_commands(
    name: str, world: World, tmp_path: Path
) -> None:
    folder = build(REDUCED[name], tmp_path / name)
    collection = tmp_path / "c"
    recording = world.folder / world.of(Medium.AUDIO)[0].file
    for command in (
        ("embed", recording.parent, "-c", collection, "--model", f"mulan:{folder}"),
        ("index", collection),
    ):
        done = CliRunner().invoke(app, [str(argument) for argument in command])
        assert done.exit_code == 0, done.output
    (space,) = retrieval.open(collection).snapshot.spaces
    assert (space.dim, space.media) == (128, ("audio",))
    search = ["search", str(collection), f"@{recording}", "--format", "json"]
    found = CliRunner().invoke(app, search)
    hits = json.loads(found.stdout)["hits"]
    assert hits[0]["uri"] == str(recording)
    assert hits[0]["score"] == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("name", REDUCED)
def test_vectors_are_those_of_the_towers(name: str, tmp_path: Path) -> None:
    encoder = load_encoder(f"mulan:{build(REDUCED[name], tmp_path / name)}", device="cpu")
    again = MulanEncoder.load(tmp_path / name, device="cpu")
    assert (encoder.dim, encoder.digest) == (128, again.digest)
    sound = np.random.default_rng(0).normal(0, 0.1, (2, 160_000)).astype(np.float32)
    rows = encoder.encode_audio(sound, np.array([10.0, 10.0]))
    with torch.inference_mode():
        want = again._model.audio(torch.from_numpy(sound)).numpy()
    np.testing.assert_allclose(rows, want, atol=1e-5)
    texts = encoder.encode_text(["a slow piano", "fast drums"])
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, rtol=1e-6)


def test_short_audio_is_repeated(tmp_path: Path) -> None:
    encoder = MulanEncoder.load(build(REDUCED["mulan-resnet"], tmp_path / "m"), device="cpu")
    second = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    padded = np.concatenate([second, np.zeros(16_000, np.float32)])
    whole = encoder.encode_audio(np.tile(second, 10)[None], np.array([10.0]))
    np.testing.assert_allclose(
        encoder.encode_audio(padded[None], np.array([1.0])), whole, atol=1e-6
    )


def test_the_bundled_model_loads_unchanged() -> None:
    folder = Path(retrieval.__file__).parent / "weights" / "tiny-music"
    assert read_config(folder / "config.json") == TINY
    assert load_encoder("tiny-music", device="cpu").dim == 128


@pytest.mark.parametrize("name", MULAN_SIZES)
def test_configurations_round_trip(name: str, tmp_path: Path) -> None:
    write_config(MULAN_SIZES[name], tmp_path / "config.json")
    assert "null" not in (tmp_path / "config.json").read_text()
    assert read_config(tmp_path / "config.json") == MULAN_SIZES[name]


@pytest.mark.parametrize(
    ("name", "audio", "text"), [("mulan-ast", 86e6, 109e6), ("mulan-resnet", 23.8e6, 109e6)]
)
def test_the_papers_sizes(name: str, audio: float, text: float) -> None:
    config = MULAN_SIZES[name]
    assert (config.dim, config.window_samples, config.window_frames) == (128, 160_000, 1_000)
    with torch.device("meta"):  # shapes without their memory
        model = Mulan(config)
        pictures = torch.empty(2, config.mel_bands, config.window_frames)
        media, texts, _ = model(pictures, torch.ones(2, 9, dtype=torch.int64))
    assert media.shape == texts.shape == (2, 128)
    towers = (sum(p.numel() for p in tower.parameters()) for tower in (model.audio, model.text))
    assert tuple(towers) == (pytest.approx(audio, rel=0.01), pytest.approx(text, rel=0.01))


@pytest.mark.parametrize("name", MULAN_SIZES)
def test_mel_filters_are_not_empty(name: str) -> None:
    assert (MULAN_SIZES[name].log_mel().filters.sum(dim=1) > 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio": {"width": 4, "blocks": [1]}}, r"audio\..* is missing"),
        ({"patch_bands": 16}, "go with an audio transformer"),
        ({"audio": None}, "not a MuLan configuration"),
        ({"speed": 1}, "speed"),
    ],
)
def test_an_invalid_configuration_fails(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    write_config(MULAN_RESNET, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(WeightsFormatError, match=message) as caught:
        read_config(path)
    assert "\n" not in str(caught.value)


def test_fault_18_weights_of_the_other_tower_are_listed(tmp_path: Path) -> None:
    ast, resnet = (build(config, tmp_path / name) for name, config in REDUCED.items())
    (resnet / "model.safetensors").replace(ast / "model.safetensors")
    with pytest.raises(
        WeightsFormatError, match=r"does not fit its config.json.*audio\.patches.*audio\.stages"
    ) as caught:
        MulanEncoder.load(ast)
    assert "\n" not in str(caught.value)


def test_fault_17_a_pickle_is_refused(tmp_path: Path) -> None:
    folder = build(REDUCED["mulan-resnet"], tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "model.pt")
    with pytest.raises(RetrievalError, match="a pickle"):
        MulanEncoder.load(folder)


def test_weights_are_half_precision_but_counters_are_integers(tmp_path: Path) -> None:
    folder = build(REDUCED["mulan-resnet"], tmp_path / "m")
    kinds = {name: tensor.dtype for name, tensor in load_file(folder / "model.safetensors").items()}
    assert kinds["audio.stem.0.weight"] is torch.float16
    assert kinds["audio.stem.1.num_batches_tracked"] is torch.int64
