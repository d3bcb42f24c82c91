import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from retrieval.encoders.catalogue import BUNDLED, CATALOGUE, SPEECH_MODELS
from retrieval.encoders.hub.cache import availability
from retrieval.encoders.inventory import list_models

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def snapshot(small_clap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a complete cached snapshot of `maker/clap`."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--maker--clap"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    return Path(shutil.copytree(small_clap, folder / "snapshots" / COMMIT))


def test_every_encoder_of_the_catalogue_is_listed(snapshot: Path) -> None:
    models = list_models()
    assert [(model.name, model.spec) for model in models] == [
        (name, spec)
        for name, entry in (CATALOGUE | SPEECH_MODELS).items()
        for spec in entry.encoders
    ]
    assert {model.spec for model in models if model.in_package} == set(BUNDLED)
    assert {model.spec for model in models if model.bytes is not None} == set(BUNDLED)


def test_size_of_a_cached_model(snapshot: Path) -> None:
    files = [path for path in snapshot.iterdir() if path.suffix != ".md"]
    assert availability("clap:maker/clap").usable
    assert availability("clap:maker/clap").bytes == sum(path.stat().st_size for path in files)
    assert not availability("clap:maker/other").usable


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json"])
def test_incomplete_models_have_no_size(snapshot: Path, missing: str) -> None:
    (snapshot / missing).unlink()
    assert not availability("clap:maker/clap").usable
