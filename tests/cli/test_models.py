import json
import re
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from cli.main import app
from retrieval.encoders.catalogue import CATALOGUE, SPEECH_MODELS
from support.hub.server import Hub


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("empty_cache")
def test_the_list_names_media_licences_and_sizes() -> None:
    models = json.loads(CliRunner().invoke(app, ["models", "list", "--format", "json"]).stdout)
    assert list(dict.fromkeys(model["name"] for model in models)) == [
        *CATALOGUE,
        *SPEECH_MODELS,
    ]
    tiny, *_ = models
    assert tiny["media"] == ["image", "video"]
    assert tiny["in_package"]
    assert tiny["bytes"] > 1_000_000
    assert {model["bytes"] for model in models if not model["in_package"]} == {None}
    table = CliRunner().invoke(app, ["models", "list"]).stdout
    for words in ("CC-BY-NC-4.0", "not fetched", "open_clip:ViT-B-32-SigLIP2-256/webli", " MB"):
        assert words in table


def test_fetch_prints_progress_and_cautions(
    real_layout_hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TQDM_POSITION", "-1")  # a bar where no terminal is
    done = CliRunner().invoke(app, ["models", "fetch", "x-clip"])
    assert done.exit_code == 0, done.output
    assert re.fullmatch(r"x-clip: \d+ files, \d+\.\d MB, checked\n", done.stdout)
    assert "an action recognition model" in done.stderr
    assert re.search(
        r"microsoft/xclip-base-patch32 at [0-9a-f]{12}: \d+ files, .* to download, licence MIT",
        done.stderr,
    )
    assert re.search(r"model\.safetensors is whole \(\d+\.\d MB\)", done.stderr)
    assert re.search(r"model\.safetensors: 100%", done.stderr)
