"""Texts are encoded without torch, within 1e-5 as by the complete model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.open_clip import OpenClipEncoder
from retrieval.encoders.text_first import MAX_TEXTS, TextFirstEncoder, load_known
from retrieval.encoders.text_record import read_record, record_path
from support.small_models import open_clip_models as models
from support.small_models.texts import tokenizer_of_bytes

TEXTS = [
    "a dog",
    "",
    "Zwei Hunde – am Strand, 3 Möwen & “ein Boot”",
    "boat " * 200,
    "東京タワー 🙂",
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without records."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def small(folder: Path, **text: object) -> Path:
    """Save a CLIP with some settings of the text tower, and a tokenizer beside it."""
    config: dict[str, Any] = json.loads(json.dumps(models.SMALL_CLIP))
    tokenizer = tokenizer_of_bytes()
    config["text_cfg"] |= {"hf_tokenizer_name": "beside", "vocab_size": len(tokenizer)} | text
    config |= {key: config["text_cfg"].pop(key) for key in ("quick_gelu",) if key in text}
    saved: Path = models.save_open_clip(folder, config, tokenizer)
    return saved


def load(folder: Path) -> Any:
    return load_encoder(f"open_clip:{folder}", device="cpu", text_first=True)


def assert_near(vectors: np.ndarray, expected: np.ndarray) -> None:
    """No score of these vectors with any unit vector differs by more than the distance."""
    assert vectors.shape == expected.shape
    assert np.linalg.norm(vectors - expected, axis=1).max() <= 1e-5


def assert_second_loading_is_equal(folder: Path) -> None:
    complete = load_encoder(f"open_clip:{folder}", device="cpu")
    first, light = load(folder), load(folder)
    assert type(complete) is OpenClipEncoder
    assert type(first) is type(light) is TextFirstEncoder
    vectors = light.encode_text(TEXTS)
    assert_near(vectors, complete.encode_text(TEXTS))
    np.testing.assert_array_equal(first.encode_text(TEXTS), vectors)
    for text, vector in zip(TEXTS, vectors, strict=True):  # alone and among others
        np.testing.assert_array_equal(light.encode_text([text])[0], vector)
    for name in ("spec", "slug", "dim", "digest", "media", "geometry", "windows", "logit_scale"):
        assert getattr(light, name) == getattr(complete, name), name


def test_clip_with_its_own_tokenizer(small_clip: Path) -> None:
    assert_second_loading_is_equal(small_clip)


@pytest.mark.parametrize(
    "text",
    [
        {"pool_type": "eos", "eos_id": 2},
        {"pool_type": "last", "no_causal_mask": True, "proj_bias": True},
        {"pool_type": "first", "proj_type": "none", "width": 32},
        {"quick_gelu": True},
        {"act_kwargs": {"approximate": "tanh"}, "norm_kwargs": {"eps": 1e-3}, "mlp_ratio": 2.0},
        {"tokenizer_kwargs": {"clean": "canonicalize"}},
    ],
)
def test_variants_of_the_text_tower(tmp_path: Path, text: dict[str, object]) -> None:
    assert_second_loading_is_equal(small(tmp_path / "model", **text))


def test_siglip2(tmp_path: Path) -> None:
    tokenizer = tokenizer_of_bytes()
    config = models.siglip2_config(len(tokenizer))
    folder = models.save_open_clip(tmp_path / "siglip2", config, tokenizer)
    # The random attention is so sharp that two libraries round to other vectors.
    assert type(load(folder)) is type(load(folder)) is OpenClipEncoder
    tensors = load_file(folder / models.WEIGHTS)
    for name in tensors:
        if name.endswith("in_proj_weight"):
            tensors[name] /= 10
    save_file(tensors, folder / models.WEIGHTS)
    assert_second_loading_is_equal(folder)


@pytest.mark.parametrize("text", [{"embed_cls": True}, {"ls_init_value": 0.1}, {"qk_norm": True}])
def test_other_variants_need_open_clip(tmp_path: Path, text: dict[str, object]) -> None:
    config = json.loads(json.dumps(models.SMALL_CLIP))
    config["text_cfg"] |= text
    config["custom_text"] = True
    folder = models.save_open_clip(tmp_path / "model", config)
    for _ in range(2):
        assert type(load(folder)) is OpenClipEncoder


def test_pictures_load_the_complete_model(small_clip: Path) -> None:
    complete, light = load(small_clip), load(small_clip)
    assert type(complete.complete) is OpenClipEncoder
    assert light._complete is None
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(light.encode_images(pixels), complete.encode_images(pixels))


def test_the_complete_model_encodes_many_texts(small_clip: Path) -> None:
    """Calibration is measured with many texts, to the bit as by the complete model."""
    complete = load(small_clip).complete
    light = load(small_clip)
    texts = [f"photo {number} of a dog" for number in range(MAX_TEXTS + 1)]
    np.testing.assert_array_equal(light.encode_text(texts), complete.encode_text(texts))
    assert light.encode_text([]).shape == (0, light.dim)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_16_bits(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = small(tmp_path / "model")
    tensors = load_file(folder / models.WEIGHTS)
    save_file({name: each.to(dtype) for name, each in tensors.items()}, folder / models.WEIGHTS)
    assert_second_loading_is_equal(folder)


def test_a_gpu_needs_the_complete_model(small_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(small_clip)
    monkeypatch.setattr("retrieval.encoders.text_first.GPU_FILES", ("/dev/null",))
    spec = f"open_clip:{small_clip}"
    for is_visible, kind in ((False, TextFirstEncoder), (True, type(None))):
        monkeypatch.setattr("torch.cuda.is_available", lambda is_visible=is_visible: is_visible)
        assert type(load_known(spec, pytest.fail)) is kind


def test_a_changed_file_makes_the_record_invalid(small_clip: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_clip, tmp_path / "copy"))
    spec = f"open_clip:{folder}"
    load(folder)
    for name in (models.WEIGHTS, models.CONFIG):
        assert read_record(spec) is not None
        os.utime(folder / name)
        assert read_record(spec) is None
        load(folder)  # writes the next record
    (folder / models.WEIGHTS).unlink()
    assert read_record(spec) is None


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"version": 99}', "\udcff", None])
def test_a_damaged_record_is_ignored(small_clip: Path, content: str | None) -> None:
    spec = f"open_clip:{small_clip}"
    load(small_clip)
    path = record_path(spec)
    whole = path.read_text()
    path.write_text(whole[:-20] if content is None else content, errors="surrogateescape")
    assert read_record(spec) is None
    load(small_clip)
    assert path.read_text() == whole


def test_a_cache_that_cannot_be_written_costs_only_time(
    small_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load(small_clip).encode_text(["a dog"]).shape == (1, 32)


@pytest.mark.parametrize("tokenizer", ["own", "beside"])
def test_a_process_that_encodes_texts_does_not_import_torch(
    tmp_path: Path, small_clip: Path, tokenizer: str
) -> None:
    folder = small_clip if tokenizer == "own" else small(tmp_path / "model")
    expected = load(folder).encode_text(["a dog"])
    program = (
        "import sys\n"
        "from retrieval.encoders.catalogue import load_encoder\n"
        "encoder = load_encoder(sys.argv[1], text_first=True)\n"
        "print(encoder.encode_text(['a dog'])[0].tolist())\n"
        "print({'open_clip', 'torch', 'torchvision', 'transformers'} & sys.modules.keys())"
    )
    command = [sys.executable, "-c", program, f"open_clip:{folder}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    vector, modules = done.stdout.splitlines()
    assert_near(np.array([json.loads(vector)], np.float32), expected)
    assert modules == "set()"
