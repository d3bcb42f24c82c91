"""Small models of all backends with random weights."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.hub.layouts import RealLayouts
from support.small_models import open_clip_models, sounds, videos


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a small CLIP in open_clip's format, with open_clip's own tokenizer."""
    return open_clip_models.save_small_clip(tmp_path_factory.mktemp("models") / "Small Clip")


@pytest.fixture(scope="session")
def small_clap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a small CLAP as transformers does, with a byte tokenizer."""
    return sounds.save_clap(tmp_path_factory.mktemp("models") / "small-clap")


@pytest.fixture(scope="session")
def small_clap_general(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a CLAP without fusion, whose extractor crops long audio at random."""
    return sounds.save_clap(tmp_path_factory.mktemp("models") / "small-general", fusion=False)


@pytest.fixture(scope="session")
def small_mulan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a small MuLan in this repository's format."""
    return sounds.save_mulan(tmp_path_factory.mktemp("models") / "small-mulan")


@pytest.fixture(scope="session")
def small_pe_core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return PE-Core with its smallest image tower and a shorter text tower."""
    folder = tmp_path_factory.mktemp("models") / "small-pe-core"
    return open_clip_models.save_open_clip(folder, open_clip_models.pe_core_config())


@pytest.fixture(scope="session")
def small_siglip2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save SigLIP2 with a tiny image tower, pooled by attention, and a byte tokenizer."""
    return open_clip_models.save_small_siglip2(tmp_path_factory.mktemp("models") / "small-siglip2")


@pytest.fixture(scope="session")
def small_x_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save an X-CLIP of 8 frames as transformers does, with CLIP's byte tokenizer."""
    return videos.save_x_clip(tmp_path_factory.mktemp("models") / "small-x-clip")


@pytest.fixture(scope="session")
def pe_av_model() -> Any:
    """Build a PE-AV with small towers."""
    return videos.make_pe_av()


@pytest.fixture(scope="session")
def small_pe_av(pe_av_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a PE-AV of 16 frames as transformers does."""
    return videos.save_pe_av(tmp_path_factory.mktemp("models") / "small-pe-av", pe_av_model)


@pytest.fixture(scope="session")
def small_muq_mulan(real_layouts: RealLayouts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a MuQ-MuLan whose configuration names the folders of its towers."""
    pytest.importorskip("muq", reason="the optional package muq is not installed")
    from support.small_models.muq import MUQ, ROBERTA

    to = tmp_path_factory.mktemp("models")
    real_layouts.copy("OpenMuQ/MuQ-large-msd-iter", to / MUQ)
    real_layouts.copy("FacebookAI/xlm-roberta-base", to / ROBERTA)
    folder = real_layouts.copy("OpenMuQ/MuQ-MuLan-large", to / "MuQ-MuLan-large")
    config = json.loads((folder / "config.json").read_text())
    for tower in ("audio_model", "text_model"):
        config[tower]["name"] = str(to / config[tower]["name"])
    (folder / "config.json").write_text(json.dumps(config))
    return folder
