"""Layouts of the local hub: files of each repository, and models that load."""

from pathlib import Path

import open_clip
import pytest
import torch
from huggingface_hub import HfApi, hf_hub_download
from safetensors.torch import load_file

from retrieval.encoders.catalogue import CATALOGUE, load_encoder
from retrieval.encoders.guard import check_text_tower
from support.hub.layouts import LAYOUTS, MOVED, RealLayouts
from support.hub.model_layouts import BLIP, CLAP_GENERAL, CLAP_SPEECH
from support.hub.server import Hub

DOCUMENTED = ("open_clip:ViT-B-32/openai", "open_clip:ViT-B-32/laion2b_s34b_b79k")


def names(layouts: RealLayouts, repo: str, ref: str = "main") -> set[str]:
    repository = layouts[repo]
    return set(repository.revisions[repository.refs[ref]])


def test_every_model_of_the_catalogue_and_the_documentation_is_there() -> None:
    specs = {spec for entry in CATALOGUE.values() for spec in entry.encoders}
    for spec in (*specs, *DOCUMENTED):
        backend, _, location = spec.partition(":")
        if backend == "open_clip":
            published = open_clip.get_pretrained_cfg(*location.split("/"))
            assert published["hf_hub"].strip("/") in LAYOUTS
        elif location:
            assert location in LAYOUTS
    assert set(MOVED.values()) <= set(LAYOUTS)


def test_open_clips_repositories_have_its_files_and_no_config(real_layouts: RealLayouts) -> None:
    common = {"README.md", ".gitattributes", "open_clip_config.json", "open_clip_model.safetensors"}
    tokenizer = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
    assert names(real_layouts, "timm/ViT-B-32-SigLIP2-256") == common | tokenizer
    for repo in ("timm/PE-Core-B-16", "timm/PE-Core-L-14-336"):
        assert names(real_layouts, repo) == common
    for repo in ("timm/vit_base_patch32_clip_224.openai", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"):
        both = {"open_clip_pytorch_model.bin", "config.json", "pytorch_model.bin"}
        assert names(real_layouts, repo) > common | tokenizer | both


@pytest.mark.parametrize(
    ("repo", "ref", "commit"),
    [
        ("laion/larger_clap_general", "refs/pr/2", CLAP_GENERAL),
        ("laion/larger_clap_music_and_speech", "refs/pr/1", CLAP_SPEECH),
        ("Salesforce/blip-itm-base-coco", "refs/pr/5", BLIP),
    ],
)
def test_pickles_lie_on_main_and_safetensors_at_a_pull_request(
    real_layout_hub: Hub, repo: str, ref: str, commit: str
) -> None:
    safe, pickle = "model.safetensors", "pytorch_model.bin"
    main = names(real_layout_hub.repositories, repo)  # type: ignore[arg-type]
    assert pickle in main
    assert safe not in main
    assert HfApi().model_info(repo, revision=ref).sha == commit
    converted = load_file(hf_hub_download(repo, safe, revision=commit))
    pickled = torch.load(hf_hub_download(repo, pickle), weights_only=True)
    assert converted.keys() == pickled.keys()
    assert all(torch.equal(converted[name], pickled[name]) for name in converted)


def test_an_old_clap_is_a_pickle_everywhere(real_layouts: RealLayouts) -> None:
    repository = real_layouts["laion/clap-htsat-unfused"]
    assert list(repository.refs) == ["main"]
    assert "pytorch_model.bin" in names(real_layouts, "laion/clap-htsat-unfused")
    assert "model.safetensors" not in names(real_layouts, "laion/clap-htsat-unfused")


@pytest.mark.parametrize(
    ("backend", "repo", "ref"),
    [
        ("open_clip", "timm/ViT-B-32-SigLIP2-256", "main"),
        ("open_clip", "timm/PE-Core-B-16", "main"),
        ("open_clip", "timm/vit_base_patch32_clip_224.openai", "main"),
        ("open_clip", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "main"),
        ("clap", "laion/larger_clap_general", "refs/pr/2"),
        ("clap", "laion/larger_clap_music_and_speech", "refs/pr/1"),
        ("pe-av", "facebook/pe-av-small-16-frame", "main"),
        ("xclip", "microsoft/xclip-base-patch32", "main"),
    ],
)
def test_copies_of_repositories_load_and_distinguish_texts(
    real_layouts: RealLayouts, tmp_path: Path, backend: str, repo: str, ref: str
) -> None:
    folder = real_layouts.copy(repo, tmp_path / "model", ref)
    check_text_tower(load_encoder(f"{backend}:{folder}", device="cpu"))
