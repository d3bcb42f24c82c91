"""Configurations with wrong types and impossible sizes."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from indexes.errors import RetrievalError
from retrieval.encoders.adapter import Adapter, AdapterConfig, AdapterEncoder, AdapterPair
from retrieval.encoders.configuration import build_model, check_sizes
from retrieval.encoders.mulan import MulanEncoder, read_model
from retrieval.encoders.video_text import read_config as read_video_config
from retrieval.encoders.video_towers import VideoTextConfig
from retrieval.errors import WeightsFormatError
from retrieval.localization.hammer_files import load_hammer, read_config

WEIGHTS = Path(__file__).parents[3] / "retrieval" / "weights"

WRONG = [None, "x", "1", 1.5, -1, 0, True, [], {}, [[]], 10**9, 10**400, float("nan")]
"""Values put into each field in turn; some are valid for some fields."""


def _changed(config: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, str]]:
    """Yield the configuration with each value replaced by each of `WRONG`."""
    entries = config.items() if isinstance(config, dict) else enumerate(config)
    for key, value in list(entries):
        for wrong in WRONG:
            config[key] = wrong
            yield config, f"{[*path, key]} = {str(wrong)[:20]}"
        config[key] = value
        if isinstance(value, dict | list):
            for _, what in _changed(value, (*path, key)):
                yield config, what
    if isinstance(config, dict):
        config["unknown"] = 1
        yield config, f"{[*path, 'unknown']}"
        del config["unknown"]


def _error_of(load: Callable[[], object]) -> RetrievalError | None:
    """Return the RetrievalError of loading, or None."""
    try:
        load()
    except RetrievalError as error:
        return error
    return None


def _count_refusals(
    file: Path, load: Callable[[], object], *, expected: type[Exception] = WeightsFormatError
) -> int:
    good = file.read_text()
    refused = 0
    for config, what in _changed(json.loads(good)):
        file.write_text(json.dumps(config))
        error = _error_of(load)
        refused += isinstance(error, expected)
        assert "\n" not in str(error), what
        assert len(str(error)) < 2_000, what
    file.write_text(good)
    load()
    return refused


def test_field_29_a_mulan_with_wrong_types(tmp_path: Path) -> None:
    shutil.copytree(WEIGHTS / "tiny-music", tmp_path / "m")
    refused = _count_refusals(
        tmp_path / "m" / "config.json", lambda: read_model(tmp_path / "m", spec="mulan:m")
    )
    assert refused > 100


def test_field_29_a_hammer_with_wrong_types(tmp_path: Path) -> None:
    shutil.copytree(WEIGHTS / "tiny-hammer", tmp_path / "h")
    refused = _count_refusals(tmp_path / "h" / "config.json", lambda: load_hammer(tmp_path / "h"))
    assert refused > 100


def test_field_29_an_adapter_and_a_video_model_with_wrong_types(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    shutil.copytree(WEIGHTS / "tiny-video", folder)

    def load() -> VideoTextConfig:
        return read_video_config(folder / "config.json")

    assert _count_refusals(folder / "config.json", load) > 80


@pytest.mark.parametrize("content", [b"", b"[", b"[" * 100_000, b"\xff", b"[]", b"1", b"null"])
def test_field_29_a_missing_configuration_fails(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(WeightsFormatError, match=r"config\.json is not a Hammer configuration"):
        read_config(tmp_path / "config.json")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"model": 1}'])
def test_field_29_a_damaged_tokenizer_is_reported(tmp_path: Path, content: bytes) -> None:
    for name, load in (("tiny-music", MulanEncoder.load), ("tiny-hammer", load_hammer)):
        shutil.copytree(WEIGHTS / name, tmp_path / name)
        (tmp_path / name / "tokenizer.json").write_bytes(content)
        with pytest.raises(
            WeightsFormatError, match=r"tokenizer\.json is not a readable tokenizer"
        ):
            load(tmp_path / name)


def test_field_29_no_memory_is_allocated_for_sizes_unlike_the_weights(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3)}, tmp_path / "w.safetensors")
    built = []

    def factory() -> torch.nn.Module:
        module = torch.nn.Linear(10**6, 10**6)  # 4 TB
        built.append(module.weight.device.type)
        return module

    with pytest.raises(WeightsFormatError, match="describes 1,000,001,000,000 parameters"):
        build_model(factory, [tmp_path / "w.safetensors"], spec="x")
    assert built == ["meta"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"text_config": {"max_position_embeddings": 10**9}}, "max_position_embeddings is 1000"),
        ({"levels": [{"layers": 1_001}]}, "layers is 1001, expected -10,000,000 to 1,000"),
        ({"blocks": [3, 5_000]}, "blocks is 5000"),
        ({"depths": [-(10**9)]}, "depths is -1000000000"),
    ],
)
def test_field_29_sizes_beyond_any_model_are_reported(config: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_sizes(config)


def test_field_29_any_error_of_a_factory_is_reported(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3)}, tmp_path / "w.safetensors")
    for error in (AssertionError(), ZeroDivisionError("x"), RuntimeError("a\nb"), KeyError("k")):

        def factory(error: Exception = error) -> object:
            raise error

        with pytest.raises(
            WeightsFormatError, match="x: its configuration does not describe a model"
        ):
            build_model(factory, [tmp_path / "w.safetensors"], spec="x")


def test_field_29_an_adapter_with_wrong_types(tmp_path: Path) -> None:
    config = AdapterConfig("tiny-image", "0" * 64, 8, 4, 0.5)
    save_file(dict(AdapterPair(config).state_dict()), tmp_path / "adapter.safetensors")
    assert isinstance(AdapterPair(config).media, Adapter)
    raw = {"base": "no model", "base_digest": "0" * 64, "dim": 8, "hidden": 4, "ratio": 0.5}
    for name in raw:
        for wrong in WRONG:
            (tmp_path / "adapter.json").write_text(json.dumps(raw | {name: wrong}))
            with pytest.raises(RetrievalError) as caught:
                AdapterEncoder.load(tmp_path, device="cpu")
            assert "\n" not in str(caught.value)
