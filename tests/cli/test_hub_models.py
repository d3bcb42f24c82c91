"""Fetch and use each model of the catalogue from a local hub, by the public commands."""

import json
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image
from typer.testing import CliRunner, Result

from cli.main import app
from retrieval.encoders.catalogue import CATALOGUE
from support.hub.server import Hub


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def hits(collection: Path, *arguments: object) -> list[dict[str, object]]:
    output = run("search", collection, *arguments, "--format", "json").stdout
    return list(json.loads(output)["hits"])


def stay_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse all sockets."""
    hub.repositories = {}
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.create_connection", refuse)


def refuse(*arguments: object, **options: object) -> None:
    raise AssertionError(f"a connection was opened: {arguments}")


def test_small_answers_from_an_empty_cache_and_offline(
    real_layout_hub: Hub, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = tmp_path / "c"
    run("models", "fetch", "small")
    run("embed", mixed, "-c", collection, "--fps", "0.5")
    run("index", collection)
    wanted = ("a red circle", "--to", "image", "--to", "music", "--to", "video", "-k", "3")
    before = hits(collection, *wanted)
    assert {hit["modality"] for hit in before} == {"image", "audio", "video"}
    spaces = {str(hit["space"]).rpartition("-")[0] for hit in before}
    assert spaces == {"vit-b-32-siglip2-256-webli", "larger-clap-general"}
    stay_offline(real_layout_hub, monkeypatch)
    assert hits(collection, *wanted) == before
    run("embed", mixed, "-c", tmp_path / "again", "--fps", "0.5")
    assert hits(tmp_path / "again", *wanted)
    assert real_layout_hub.requests == []


OTHERS = ["base", "large", "music", "music-and-speech", "muq-mulan", "pe-av", "x-clip"]


def test_every_entry_is_tried() -> None:
    assert {"tiny", "small", *OTHERS} == set(CATALOGUE)


@pytest.mark.parametrize(
    "model",
    [
        *OTHERS,
        "open_clip:ViT-B-32/openai",
        "open_clip:ViT-B-32/laion2b_s34b_b79k",
        "open_clip:roberta-ViT-B-32/laion2b_s12b_b32k",
        "hf-hub:timm/PE-Core-B-16",
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "clap:laion/clap-htsat-unfused",
    ],
)
def test_a_model_is_fetched_used_and_used_offline(
    model: str, real_layout_hub: Hub, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if model == "muq-mulan":
        pytest.importorskip("muq", reason="the extra muq is not installed")
    fetched = run("models", "fetch", model)
    assert f"\n{model}: " in f"\n{fetched.stdout}"  # a first import may have printed before
    if model in CATALOGUE:
        assert listed(model)
    collection = tmp_path / "c"
    clips = model in ("pe-av", "x-clip")  # the others need no video, which takes longest
    media = [path for path in mixed.iterdir() if (path.suffix == ".mp4") == clips]
    run("embed", *media, "-c", collection, "--fps", "0.5", "--model", model)
    exact = hits(collection, "a red circle")
    assert exact
    assert np.isfinite([hit["score"] for hit in exact]).all()
    run("index", collection)
    indexed = hits(collection, "a red circle")
    assert len(indexed) == len(exact)
    stay_offline(real_layout_hub, monkeypatch)
    assert hits(collection, "a red circle") == indexed
    run("embed", *media, "-c", tmp_path / "again", "--fps", "0.5", "--model", model)
    assert hits(tmp_path / "again", "a red circle") == exact
    assert real_layout_hub.requests == []


def listed(model: str) -> bool:
    """Check that `models list` shows all encoders of an entry as usable."""
    models = json.loads(run("models", "list", "--format", "json").stdout)
    return all(one["bytes"] is not None for one in models if one["name"] == model)


def test_blip_reranks_pictures_from_a_hub(
    real_layout_hub: Hub, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = "blip:Salesforce/blip-itm-base-coco"
    run("models", "fetch", spec)
    run("embed", mixed, "-c", tmp_path / "c", "--model", "tiny")
    stay_offline(real_layout_hub, monkeypatch)
    (first, *_) = hits(tmp_path / "c", "a red circle", "--to", "image", "--rerank", spec)
    assert 0 <= float(str(first["score"])) <= 1
    assert "first_stage_score" in first


def test_a_panorama_and_a_dot_are_embedded_by_small(real_layout_hub: Hub, tmp_path: Path) -> None:
    run("models", "fetch", "open_clip:ViT-B-32-SigLIP2-256/webli")
    (tmp_path / "p").mkdir()
    Image.new("RGB", (1, 1), "red").save(tmp_path / "p" / "dot.png")
    Image.new("L", (2_000, 20), 90).save(tmp_path / "p" / "wide.png")
    model = ("--model", "open_clip:ViT-B-32-SigLIP2-256/webli")
    said = run("embed", tmp_path / "p", "-c", tmp_path / "c", *model).stdout
    assert said.startswith("2 items added")
