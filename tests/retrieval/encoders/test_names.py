import os
import shutil
from collections import Counter
from pathlib import Path

import open_clip
import pytest
from huggingface_hub import constants

from retrieval.encoders.catalogue import CATALOGUE, resolve
from retrieval.encoders.names import fold_name
from retrieval.errors import UnknownModelError, WeightsNotAvailableError

SMALL = "open_clip:ViT-B-32-SigLIP2-256/webli"
OPENAI = "open_clip:ViT-B-32/openai"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("open_clip:ViT-B-32/openai", OPENAI),
        ("open_clip:vit-b-32/openai", OPENAI),
        ("open_clip:ViT-B/32/openai", OPENAI),
        ("open_clip:ViT-B/32,openai", OPENAI),
        ("open_clip:ViT-B-32-openai", OPENAI),
        ("Open-CLIP:VIT_B_32/OpenAI", OPENAI),
        ("ViT-B-32/openai", None),
        ("open_clip:vit-b-32/laion2b-s34b-b79k", "open_clip:ViT-B-32/laion2b_s34b_b79k"),
        ("open_clip:vit-b-32-siglip2-256/webli", SMALL),
        ("hf-hub:timm/ViT-B-32-SigLIP2-256", SMALL),
        ("open_clip:hf-hub:timm/vit-b-32-siglip2-256", SMALL),
        ("timm/ViT-B-32-SigLIP2-256", SMALL),
        ("hf-hub:maker/model", "open_clip:hf-hub:maker/model"),
        ("open_clip:hf-hub:maker/model", "open_clip:hf-hub:maker/model"),
        ("LAION/Larger_CLAP_general", "clap:laion/larger_clap_general"),
        ("CLAP:laion/larger_clap_general", "clap:laion/larger_clap_general"),
        ("x-clip:microsoft/xclip-base-patch32", "xclip:microsoft/xclip-base-patch32"),
        ("microsoft/xclip-base-patch32", "xclip:microsoft/xclip-base-patch32"),
        ("pe_av:facebook/pe-av-small-16-frame", "pe-av:facebook/pe-av-small-16-frame"),
        ("Salesforce/blip-itm-base-coco", "blip:Salesforce/blip-itm-base-coco"),
    ],
)
def test_row_6_spellings_are_resolved(typed: str, meant: str | None) -> None:
    if meant is None:
        # It has the form of a repository; only the hub knows that it does not exist.
        with pytest.raises(WeightsNotAvailableError, match="neither a folder on this machine"):
            resolve(typed)
        return
    assert resolve(typed) == (meant,)
    assert resolve(meant) == (meant,)


@pytest.mark.parametrize("name", ["Small", "TINY", "X-CLIP"])
def test_row_6_letter_case_does_not_matter(name: str) -> None:
    assert resolve(name) == tuple(CATALOGUE[name.lower()].encoders)


def test_no_two_published_models_are_folded_together() -> None:
    counted = Counter(fold_name(f"{name}-{tag}") for name, tag in open_clip.list_pretrained())
    assert max(counted.values()) == 1


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("open_clip:ViT-B-32", r"ViT-B-32 lacks a tag; published are open_clip:ViT-B-32/openai, "),
        ("open_clip:vit-b/32", r"ViT-B-32 lacks a tag"),
        ("open_clip:ViT-B-32/laion3b", r"ViT-B-32 has no weights 'laion3b'; published are "),
        ("open_clip:ViT-B-23/openai", r"close names: open_clip:ViT-B-32/openai"),
        (
            "open_clip:ViT-B-32-SigLIP2/webli",
            r"close names: .*open_clip:ViT-B-32-SigLIP2-256/webli",
        ),
        ("smalll", "did you mean 'small'"),
    ],
)
def test_rows_5_and_6_other_names_fail_with_close_ones(typed: str, hint: str) -> None:
    with pytest.raises(UnknownModelError, match=hint) as caught:
        resolve(typed)
    assert "safetensors only" not in str(caught.value)


def test_folders_are_identified_by_their_files(
    small_clip: Path, small_clap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve(str(small_clip)) == (f"open_clip:{small_clip}",)
    assert resolve(f"local-dir:{small_clip}") == (f"open_clip:{small_clip}",)
    assert resolve(f"open_clip:local-dir:{small_clip}") == (f"open_clip:{small_clip}",)
    monkeypatch.chdir(small_clap.parent)
    assert resolve(small_clap.name) == (f"clap:{small_clap}",)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnknownModelError, match="its files do not identify a model"):
        resolve(str(tmp_path / "empty"))


def test_a_cached_repository_is_identified_by_its_files(
    small_clap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsNotAvailableError, match="maker/sound") as caught:
        resolve("maker/sound")
    assert caught.value.fetchable == "maker/sound"
    folder = tmp_path / "models--maker--sound"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("1" * 40)
    shutil.copytree(small_clap, folder / "snapshots" / ("1" * 40))
    assert resolve("maker/sound") == ("clap:maker/sound",)


def test_a_file_of_weights_keeps_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my model").mkdir()
    (tmp_path / "my model" / "w.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    want = f"open_clip:ViT-B-32/{tmp_path}{os.sep}my model{os.sep}w.safetensors"
    for typed in ("ViT-B-32/my model/w.safetensors", "vit-b/32/my model/w.safetensors"):
        assert resolve(f"open_clip:{typed}") == (want,)
