"""Vectors compared with open_clip on the same weights, used as in its README."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.hub.fetch import fetch
from retrieval.encoders.open_clip import OpenClipEncoder
from support.fidelity import TEXTS, as_documented, assert_faithful, decoded_pictures, write_pictures
from support.hub.faults import Fault
from support.hub.layouts import RealLayouts
from support.hub.server import Hub

REPOSITORIES = (
    "timm/ViT-B-32-SigLIP2-256",
    "timm/PE-Core-B-16",
    "timm/vit_base_patch32_clip_224.openai",
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
)


@pytest.fixture(scope="module", params=REPOSITORIES)
def folder(
    request: pytest.FixtureRequest,
    real_layouts: RealLayouts,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    return real_layouts.copy(request.param, tmp_path_factory.mktemp("copy") / "model")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> OpenClipEncoder:
    encoder = load_encoder(f"open_clip:{folder}", device="cpu")
    assert isinstance(encoder, OpenClipEncoder)
    return encoder


def test_texts(encoder: OpenClipEncoder, folder: Path) -> None:
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(list(TEXTS))
    with torch.inference_mode():
        want = model.encode_text(tokens, normalize=True).numpy()
    assert_faithful(encoder.encode_text(TEXTS), want)
    alone = np.concatenate([encoder.encode_text([text]) for text in TEXTS])
    assert_faithful(alone, want)


def test_pictures(encoder: OpenClipEncoder, folder: Path, tmp_path: Path) -> None:
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    paths = write_pictures(tmp_path)
    if encoder.geometry.height > 300:  # seconds each
        paths = {name: paths[name] for name in ("portrait", "cmyk", "one_pixel", "large")}
    with torch.inference_mode():
        batch = torch.stack([transform(as_documented(path)) for path in paths.values()])
        want = model.eval().encode_image(batch, normalize=True).numpy()
    got = encoder.encode_images(decoded_pictures(paths.values(), encoder.geometry))
    exact = np.array([name != "large" for name in paths])
    assert_faithful(got[exact], want[exact])
    assert_faithful(got, want, 0.999)  # large JPEGs are decoded at a half or a quarter


def test_siglip2_lowercases_and_drops_punctuation(
    real_layouts: RealLayouts, tmp_path: Path
) -> None:
    """Its configuration has `clean: canonicalize`; others have no such key."""
    cased = {}
    for repo in REPOSITORIES[:1] + REPOSITORIES[3:]:
        encoder = load_encoder(
            f"open_clip:{real_layouts.copy(repo, tmp_path / repo)}", device="cpu"
        )
        assert isinstance(encoder, OpenClipEncoder)
        cased[repo] = encoder.tokenize(["a photo of cats", "A Photo, of CATS!"])
    siglip2, clip = cased.values()
    assert torch.equal(*siglip2)
    assert not torch.equal(*clip)  # CLIP's lowers case, and keeps marks


def test_a_text_tower_of_another_repository(real_layout_hub: Hub, tmp_path: Path) -> None:
    """open_clip reads the hub, the engine the fetched files without the hub."""
    repo = "laion/CLIP-ViT-B-32-roberta-base-laion2B-s12B-b32k"
    spec = "open_clip:roberta-ViT-B-32/laion2b_s12b_b32k"
    fetch(spec)
    model, _, transform = open_clip.create_model_and_transforms(f"hf-hub:{repo}")
    tokens = open_clip.get_tokenizer(f"hf-hub:{repo}")(list(TEXTS))
    real_layout_hub.faults = [Fault("*", "503")]
    encoder = load_encoder(spec, device="cpu")
    assert isinstance(encoder, OpenClipEncoder)
    paths = [path for name, path in write_pictures(tmp_path).items() if name != "large"]
    with torch.inference_mode():
        want_texts = model.eval().encode_text(tokens, normalize=True).numpy()
        batch = torch.stack([transform(as_documented(path)) for path in paths])
        want = model.encode_image(batch, normalize=True).numpy()
    assert_faithful(encoder.encode_text(TEXTS), want_texts)
    assert_faithful(encoder.encode_images(decoded_pictures(paths, encoder.geometry)), want)
