import json
import re
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from cli.main import app
from retrieval.encoders.catalogue import CATALOGUE
from support.fake_hub import FakeHub, serve


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


def test_the_list_names_media_licences_and_sizes() -> None:
    models = json.loads(CliRunner().invoke(app, ["models", "list", "--format", "json"]).stdout)
    assert list(dict.fromkeys(model["name"] for model in models)) == list(CATALOGUE)
    tiny, *_ = models
    assert tiny["media"] == ["image", "video"]
    assert tiny["in_package"]
    assert tiny["bytes"] > 1_000_000
    assert {model["bytes"] for model in models if not model["in_package"]} == {None}
    table = CliRunner().invoke(app, ["models", "list"]).stdout
    for words in ("CC-BY-NC-4.0", "not fetched", "open_clip:ViT-B-32-SigLIP2-256/webli", " MB"):
        assert words in table


def test_fetching_shows_progress_and_what_to_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TQDM_POSITION", "-1")  # a bar where no terminal is
    files = {"model.safetensors": b"w" * 9_000, "config.json": b"{}"}
    with serve(FakeHub({"maker/x": files})) as hub:
        template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        done = CliRunner().invoke(app, ["models", "fetch", "xclip:maker/x"])
    assert done.exit_code == 0, done.output
    assert done.stdout == "xclip:maker/x: 2 files, 0.0 MB, checked\n"
    assert "a recognition model" in done.stderr
    assert "model.safetensors is whole (0.0 MB)" in done.stderr
    assert re.search(r"model\.safetensors: 100%", done.stderr)
