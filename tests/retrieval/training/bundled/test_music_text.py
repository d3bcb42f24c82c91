import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cli.main import app
from retrieval.encoders import mulan_sizes
from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.mulan import read_config
from retrieval.encoders.mulan_sizes import ResNetSize
from retrieval.encoders.towers import TransformerSize
from retrieval.progress import Progress
from retrieval.training.bundled import music_text as mulan
from retrieval.training.pairs.augmentation import Augmentation
from support.stopped import assert_ends_the_same

REDUCED = dataclasses.replace(
    mulan_sizes.MULAN_RESNET,
    window_seconds=1.0,
    audio=ResNetSize(width=4, blocks=(1, 1), bottleneck=True),
    text=TransformerSize(width=16, heads=2, layers=1),
    vocabulary=300,
    context_length=64,
)


SMALL = dataclasses.replace(
    mulan_sizes.TINY,
    window_seconds=1.0,
    audio=TransformerSize(width=16, heads=2, layers=1),
    text=TransformerSize(width=16, heads=2, layers=1),
    vocabulary=300,
)


@pytest.mark.long
def test_train_writes_a_folder_that_embeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mulan_sizes.MULAN_SIZES, "mulan-resnet", REDUCED)
    monkeypatch.setattr(mulan, "GALLERY_TUNES", 8)
    out = tmp_path / "mine"
    options = ["--config", "mulan-resnet", "--augment", "spec", "--augment", "mixup"]
    sizes = ["--steps", "2", "--batch-size", "4", "--device", "cpu"]
    done = CliRunner().invoke(app, ["train", "mulan", "--out", str(out), *options, *sizes])
    assert done.exit_code == 0, done.output
    assert "2 steps of 4 pairs on cpu" in done.stderr
    assert read_config(out / "config.json") == REDUCED
    card = (out / "README.md").read_text()
    assert card.startswith("# mine\n")
    assert "a ResNet over the log-mel picture" in card
    encoder = load_encoder(f"mulan:{out}", device="cpu")
    assert {path.name for path in out.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "training.svg",
    }
    rows = encoder.encode_audio(np.ones((1, 16_000), np.float32), np.array([1.0]))
    assert rows.shape == encoder.encode_text(["a slow piano"]).shape == (1, 128)


@pytest.mark.long
def test_a_stopped_training_resumes_and_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mulan, "GALLERY_TUNES", 8)
    stripes = Augmentation(masks=1, mask_share=0.5)

    def train(out: Path, progress: Progress) -> None:
        options = mulan.MusicOptions(
            out, config=SMALL, augmentation=stripes, batch=4, steps=20, device="cpu",
            masked_language=0.2,
        )  # fmt: skip
        mulan.train_tiny_music(options, progress)

    caplog.set_level("INFO", "retrieval.training")
    assert_ends_the_same(train, tmp_path, ("training", 8))
    assert "resuming after 6 of 20 steps" in caplog.messages
    assert caplog.messages[-1].startswith("step 20: R@1 ")


def test_batches_have_random_positions_and_captions_of_their_tunes() -> None:
    count, frames = 10, 20
    pictures = np.tile(np.arange(count, dtype=np.float16)[:, None, None], (1, 2, frames + 12))
    pictures = pictures * 100 + np.arange(frames + 12, dtype=np.float16)
    tokens = torch.arange(1, 21).reshape(count, 2, 1)
    media, texts = next(mulan._draw_batches(pictures, tokens, 4, seed=0))
    assert media.shape == (4, 2, frames)
    tunes = (media[:, 0, 0] / 100).long()
    assert torch.equal((texts[:, 0] - 1) // 2, tunes)
    begin = (media[:, 0, 0] - 100 * tunes).round()
    assert begin.unique().numel() == 1  # The batch shares its position; loudness is individual.
    assert 0 <= begin[0] <= 12
