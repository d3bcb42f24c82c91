"""Models of every kind, real but small enough to be made, saved and loaded within a test."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.hub.layouts import RealLayouts
from support.small_models import open_clip_models, sounds, videos


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in open_clip's format: random weights, open_clip's own tokenizer."""
    return open_clip_models.save_small_clip(tmp_path_factory.mktemp("models") / "Small Clip")


@pytest.fixture(scope="session")
def small_clap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as transformers saves a CLAP: random weights and a tokenizer of bytes."""
    return sounds.save_clap(tmp_path_factory.mktemp("models") / "small-clap")


@pytest.fixture(scope="session")
def small_clap_general(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As LAION's general checkpoints: no fusion, and long sound would be cropped at random."""
    return sounds.save_clap(tmp_path_factory.mktemp("models") / "small-general", fusion=False)


@pytest.fixture(scope="session")
def small_mulan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as this repository's trainer writes it."""
    return sounds.save_mulan(tmp_path_factory.mktemp("models") / "small-mulan")


@pytest.fixture(scope="session")
def small_pe_core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PE-Core by its smallest image tower, with a shorter text tower."""
    folder = tmp_path_factory.mktemp("models") / "small-pe-core"
    return open_clip_models.save_open_clip(folder, open_clip_models.pe_core_config())


@pytest.fixture(scope="session")
def small_siglip2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SigLIP2 by a tiny image tower, pooled by attention as its own, and a text tower of bytes."""
    return open_clip_models.save_small_siglip2(tmp_path_factory.mktemp("models") / "small-siglip2")


@pytest.fixture(scope="session")
def small_x_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as transformers saves an X-CLIP of 8 frames, with CLIP's tokenizer of bytes."""
    return videos.save_x_clip(tmp_path_factory.mktemp("models") / "small-x-clip")


@pytest.fixture(scope="session")
def pe_av_model() -> Any:
    """A whole PE-AV in memory, with every tower small."""
    return videos.make_pe_av()


@pytest.fixture(scope="session")
def small_pe_av(pe_av_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as transformers saves a PE-AV of 16 frames."""
    return videos.save_pe_av(tmp_path_factory.mktemp("models") / "small-pe-av", pe_av_model)


@pytest.fixture(scope="session")
def small_muq_mulan(real_layouts: RealLayouts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MuQ-MuLan as a folder whose configuration names the folders of its towers."""
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
