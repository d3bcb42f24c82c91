import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from retrieval.encoders.catalogue import load_encoder
from retrieval.errors import WeightsFormatError, WeightsNotAvailableError

WEIGHTS = "open_clip_model.safetensors"


def copy_of(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "copy"))


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("name", ["model.pt", "model.bin", "model.pth", "model.safetensors"])
def test_fault_17_a_pickle_offered_as_weights_fails_and_is_never_executed(
    tmp_path: Path, name: str
) -> None:
    canary, path = tmp_path / "canary", tmp_path / name
    path.write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(WeightsFormatError, match=name):
        load_encoder(f"open_clip:ViT-B-32/{path}")
    assert not canary.exists()


def test_fault_17_a_pickle_in_a_folder_fails_and_is_never_executed(
    small_clip: Path, tmp_path: Path
) -> None:
    folder, canary = copy_of(small_clip, tmp_path), tmp_path / "canary"
    (folder / "open_clip_pytorch_model.bin").write_bytes(pickle.dumps(Canary(canary)))
    load_encoder(f"open_clip:{folder}")  # safetensors are preferred
    (folder / WEIGHTS).rename(folder / "model.safetensors")  # open_clip would take the pickle now
    with pytest.raises(
        WeightsFormatError, match=r"contains open_clip_pytorch_model\.bin, a pickle"
    ):
        load_encoder(f"open_clip:{folder}")
    assert not canary.exists()


def test_safetensors_with_missing_keys_and_wrong_shapes_fails(
    small_clip: Path, tmp_path: Path
) -> None:
    folder = copy_of(small_clip, tmp_path)
    weights = load_file(folder / WEIGHTS)
    del weights["visual.ln_post.bias"]
    weights["text_projection"] = torch.zeros(64, 31)
    weights["stranger"] = torch.zeros(1)
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(WeightsFormatError) as caught:
        load_encoder(f"open_clip:{folder}")
    message = str(caught.value)
    assert str(folder) in message
    assert "\n" not in message
    for part in ("visual.ln_post.bias", "text_projection", "[64, 31]", "[64, 32]", "stranger"):
        assert part in message, message


def test_weights_of_something_else_fail(small_clip: Path, tmp_path: Path) -> None:
    folder = copy_of(small_clip, tmp_path)
    save_file({"positional_embedding": torch.zeros(3)}, folder / WEIGHTS)
    with pytest.raises(WeightsFormatError, match="does not fit"):
        load_encoder(f"open_clip:{folder}")


@pytest.mark.parametrize("content", ["{", "[]", '{"model_cfg": {"embed_dim": 1}}'])
def test_a_folder_with_a_damaged_configuration_fails(
    small_clip: Path, tmp_path: Path, content: str
) -> None:
    folder = copy_of(small_clip, tmp_path)
    (folder / "open_clip_config.json").write_text(content)
    with pytest.raises(WeightsFormatError, match=r"open_clip_config\.json"):
        load_encoder(f"open_clip:{folder}")


@pytest.mark.parametrize(
    ("part", "size", "value", "message"),
    [
        ("text_cfg", "vocab_size", 10**9, r"open_clip_config\.json: vocab_size is 1000000000"),
        ("vision_cfg", "layers", 5_000, r"open_clip_config\.json: layers is 5000"),
        ("text_cfg", "width", 10**6, r"its configuration describes [\d,]+ parameters"),
        ("vision_cfg", "width", 2**17, r"its configuration describes [\d,]+ parameters"),
    ],
)
def test_field_29_no_memory_is_allocated_for_sizes_beyond_the_weights(
    small_clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    size: str,
    value: int,
    message: str,
) -> None:
    folder = copy_of(small_clip, tmp_path)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"][part][size] = value
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    devices = []
    create = open_clip.create_model

    def spy(name: str, **options: Any) -> Any:
        devices.append(options["device"])
        return create(name, **options)

    monkeypatch.setattr(open_clip, "create_model", spy)
    with pytest.raises(WeightsFormatError, match=message) as caught:
        load_encoder(f"open_clip:{folder}", device="cpu")
    assert "\n" not in str(caught.value)
    assert set(devices) <= {"meta"}


def test_the_check_of_declared_sizes_logs_nothing(
    small_clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_encoder(f"open_clip:{small_clip}", device="cpu")
    assert "initialized randomly" not in caplog.text


def test_a_tokenizer_that_is_not_on_this_machine_fails(small_clip: Path, tmp_path: Path) -> None:
    folder = copy_of(small_clip, tmp_path)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "maker/tokenizer"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsNotAvailableError, match="no readable tokenizer"):
        load_encoder(f"open_clip:{folder}")
