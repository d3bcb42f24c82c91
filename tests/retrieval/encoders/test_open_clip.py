import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import image_transform_v2
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from indexes.errors import InvalidVectorError
from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.open_clip import OpenClipEncoder
from retrieval.encoders.spaces import make_space
from retrieval.errors import UnknownModelError, WeightsNotAvailableError
from retrieval.types import ImageGeometry, Medium, Sampling

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
WEIGHTS = "open_clip_model.safetensors"


def load(folder: Path, device: str = "cpu") -> OpenClipEncoder:
    encoder = load_encoder(f"open_clip:{folder}", device=device)
    assert isinstance(encoder, OpenClipEncoder)
    return encoder


def noise(n: int, height: int, width: int | None = None) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, height, width or height, 3), dtype=np.uint8)


def copy_of(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "copy"))


@pytest.fixture(scope="module")
def encoder(small_clip: Path) -> OpenClipEncoder:
    return load(small_clip)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory, small_clip: Path) -> str:
    """Register the small architecture with CLIP's preprocessing in open_clip."""
    config = json.loads((small_clip / "open_clip_config.json").read_text())["model_cfg"]
    config["vision_cfg"]["image_size"] = 224
    path = tmp_path_factory.mktemp("configs") / "Test-CLIP-224.json"
    path.write_text(json.dumps(config))
    open_clip.add_model_config(path)
    return path.stem


# ---------------------------------------------------------------- what it is


def test_properties_come_from_the_model(encoder: OpenClipEncoder, small_clip: Path) -> None:
    assert encoder.spec == f"open_clip:{small_clip}"
    assert encoder.slug == "small-clip"
    assert encoder.dim == 32
    assert encoder.media == (Medium.IMAGE, Medium.VIDEO)
    assert encoder.windows is None
    assert encoder.geometry == ImageGeometry(32, 32, "bilinear", "longest", 7)


@pytest.mark.parametrize("device", DEVICES)
def test_vectors_are_those_of_open_clip(small_clip: Path, device: str) -> None:
    encoder = load(small_clip, device)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{small_clip}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{small_clip}")
    pixels, texts = noise(40, 32), ["a red circle", "music", "", "a long text " * 50]
    with torch.inference_mode():
        batch = torch.stack([transform(Image.fromarray(picture)) for picture in pixels])
        want_pictures = model.eval().encode_image(batch, normalize=True).numpy()
        want_texts = model.encode_text(tokenizer(texts), normalize=True).numpy()
    # bfloat16 has three digits
    tolerance = 1e-5 if device == "cpu" else 3e-2
    np.testing.assert_allclose(encoder.encode_images(pixels), want_pictures, atol=tolerance)
    np.testing.assert_allclose(encoder.encode_text(texts), want_texts, atol=tolerance)


def test_vectors_are_float32_unit_and_repeatable(encoder: OpenClipEncoder) -> None:
    for rows in (encoder.encode_images(noise(3, 32)), encoder.encode_text(["a", "b", "c"])):
        assert rows.shape == (3, 32)
        assert rows.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(
        encoder.encode_images(noise(3, 32)), encoder.encode_images(noise(3, 32))
    )
    assert encoder.encode_images(noise(0, 32)).shape == encoder.encode_text([]).shape == (0, 32)


def test_preprocessing_equals_open_clips_to_the_bit(encoder: OpenClipEncoder) -> None:
    transform = image_transform_v2(encoder._preprocessing, is_train=False)
    pixels = noise(4, 32)
    want = torch.stack([transform(Image.fromarray(picture)) for picture in pixels])
    assert torch.equal(encoder.prepare(pixels), want)
    # A view with other strides is read the same.
    assert torch.equal(encoder.prepare(pixels[:, ::-1, ::-1]), want.flip(2, 3))


def test_preprocessing_equals_clips_official_result(
    registered: str, real_data: Path, tmp_path: Path
) -> None:
    """Return a photograph and its tensor from OpenAI's CLIP preprocessing."""
    model = open_clip.create_model(registered)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    encoder = load_encoder(f"open_clip:{registered}/{tmp_path / 'w.safetensors'}", device="cpu")
    assert isinstance(encoder, OpenClipEncoder)
    geometry = encoder.geometry
    assert geometry == ImageGeometry(224, 224, "bicubic", "shortest", 0)
    folder = real_data / "clip_reference"
    with Image.open(folder / "franz-kafka.jpg") as image:
        crop = Compose(
            [Resize(geometry.height, InterpolationMode.BICUBIC), CenterCrop(geometry.height)]
        )
        pixels = np.asarray(crop(image.convert("RGB")))
    want = np.load(folder / "expected_preprocessed_image.npy")
    np.testing.assert_array_equal(
        encoder.prepare(pixels[None]).numpy(), want.reshape(1, 3, 224, 224)
    )


def test_digest_covers_weights_preprocessing_configuration_and_tokenizer(
    encoder: OpenClipEncoder, small_clip: Path, tmp_path: Path
) -> None:
    assert load(copy_of(small_clip, tmp_path)).digest == encoder.digest
    folder = tmp_path / "copy"
    config = folder / "open_clip_config.json"
    original = config.read_text()
    digests = {encoder.digest}
    for old, new in [
        ('"mean": [0.5', '"mean": [0.6'),
        ("longest", "squash"),
        (
            '"context_length": 16',
            '"tokenizer_kwargs": {"clean": "whitespace"}, "context_length": 16',
        ),
    ]:
        assert old in original
        config.write_text(original.replace(old, new))
        digests.add(load(folder).digest)
    config.write_text(original)
    weights = load_file(folder / WEIGHTS)
    save_file(weights | {"logit_scale": weights["logit_scale"] + 1}, folder / WEIGHTS)
    digests.add(load(folder).digest)
    assert len(digests) == 5


# ---------------------------------------------------------------- where it comes from


def test_a_file_of_weights_by_name_and_path(
    registered: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    model = open_clip.create_model(registered)
    save_file(
        {name: t.half() for name, t in model.state_dict().items()}, tmp_path / "mine.safetensors"
    )
    monkeypatch.chdir(tmp_path)
    encoder = load_encoder(f"open_clip:{registered}/mine.safetensors", device="cpu")
    # Absolute, so that the collection opens from anywhere.
    assert encoder.spec == f"open_clip:{registered}/{tmp_path / 'mine.safetensors'}"
    assert encoder.slug == "test-clip-224-mine"
    loaded = encoder._model.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded[name], tensor.half().float()), name
    assert make_space(encoder, sampling=Sampling(), windows=None).dim == 32


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ViT-B-32", "PE-Core-T-16-384"])
def test_real_architectures_load_from_safetensors(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = open_clip.create_model(name)
    save_file({key: t.half() for key, t in model.state_dict().items()}, tmp_path / "w.safetensors")
    encoder = load_encoder(f"open_clip:{name}/{tmp_path / 'w.safetensors'}", device="cpu")
    assert encoder.geometry is not None
    assert encoder.encode_images(noise(2, encoder.geometry.height)).shape == (2, 512)
    space = make_space(encoder, sampling=Sampling(), windows=None)
    assert space.name.startswith(name.lower())


@pytest.mark.parametrize(
    ("spec", "repository"),
    [
        ("open_clip:ViT-B-32-SigLIP2-256/webli", "timm/ViT-B-32-SigLIP2-256"),
        ("open_clip:PE-Core-B-16/meta", "timm/PE-Core-B-16"),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
    ],
)
def test_a_model_that_is_not_in_the_cache_fails_without_a_socket(
    spec: str, repository: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("socket.socket", None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with pytest.raises(WeightsNotAvailableError) as caught:
        load_encoder(spec)
    message = str(caught.value)
    assert repository in message
    assert caught.value.fetchable == spec
    assert "the model tiny" in message
    assert "\n" not in message


def test_weights_of_a_tag_come_from_the_hubs_cache(
    registered: str, small_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = open_clip.create_model(registered)
    snapshot = tmp_path / "models--maker--model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--maker--model" / "refs").mkdir()
    (tmp_path / "models--maker--model" / "refs" / "main").write_text("abc")
    save_file(model.state_dict(), snapshot / WEIGHTS)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    published = {"hf_hub": "maker/model/", "mean": (0.1, 0.2, 0.3), "std": (0.5, 0.5, 0.5)}
    published |= {"interpolation": "bilinear", "resize_mode": "squash", "quick_gelu": True}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, registered, {"v1": published})
    encoder = load_encoder(f"open_clip:{registered}/v1", device="cpu")
    assert isinstance(encoder, OpenClipEncoder)
    assert encoder.geometry == ImageGeometry(224, 224, "bilinear", "squash", 0)
    black = encoder.prepare(np.zeros((1, 224, 224, 3), np.uint8))[0, :, 0, 0].tolist()
    assert black == pytest.approx([-0.2, -0.4, -0.6])
    assert any(isinstance(m, open_clip.model.QuickGELU) for m in encoder._model.modules())


def test_unknown_names_and_tags_fail(small_clip: Path) -> None:
    with pytest.raises(UnknownModelError, match="close names: open_clip:ViT-B-32/openai"):
        load_encoder("open_clip:ViT-B-23/openai")
    with pytest.raises(
        UnknownModelError,
        match=r"ViT-B-32 has no weights 'laion3b'; published are ",
    ):
        load_encoder("open_clip:ViT-B-32/laion3b")
    with pytest.raises(WeightsNotAvailableError, match=r"nowhere\.safetensors: no such file"):
        load_encoder("open_clip:ViT-B-32/nowhere.safetensors")


# ---------------------------------------------------------------- hostile input


def test_nan_weights_make_no_vectors(small_clip: Path, tmp_path: Path) -> None:
    folder = copy_of(small_clip, tmp_path)
    weights = load_file(folder / WEIGHTS)
    weights["text_projection"][:] = torch.nan
    weights["visual.proj"][:] = 0
    save_file(weights, folder / WEIGHTS)
    broken = load(folder)
    with pytest.raises(InvalidVectorError, match=r"copy: text: vector 0 of 1 contains NaN"):
        broken.encode_text(["a"])
    with pytest.raises(InvalidVectorError, match=r"copy: picture: vector 0 of 2 has length zero"):
        broken.encode_images(noise(2, 32))


def test_huge_texts_are_cut_and_surrogates_replaced(encoder: OpenClipEncoder) -> None:
    rows = encoder.encode_text(
        ["\ud800", "?", "word " * 20_000, "word " * 200, "\x00\n", "🙂" * 99]
    )
    assert rows.shape == (6, 32)
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
    np.testing.assert_allclose(rows[2], rows[3], atol=1e-6)


def test_pictures_of_another_size_or_type_fail(encoder: OpenClipEncoder) -> None:
    with pytest.raises(ValueError, match=r"reads uint8 \(32, 32, 3\), got uint8 \(1, 16, 32, 3\)"):
        encoder.encode_images(noise(1, 16, 32))
    with pytest.raises(ValueError, match="got float32"):
        encoder.encode_images(noise(1, 32).astype(np.float32))
    with pytest.raises(ValueError, match="does not embed audio"):
        encoder.encode_audio(np.zeros((1, 8), np.float32), np.zeros(1))


def test_the_batch_is_halved_when_memory_runs_out(
    encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, real = noise(20, 32), encoder._model
    want = encoder.encode_images(pixels)

    def encode_image(batch: torch.Tensor) -> torch.Tensor:
        if len(batch) > 6:
            raise torch.OutOfMemoryError("out of memory")
        return real.encode_image(batch)

    monkeypatch.setattr(encoder, "_model", SimpleNamespace(encode_image=encode_image))
    np.testing.assert_allclose(encoder.encode_images(pixels), want, atol=1e-6)


def test_a_tokenizer_beside_the_weights_is_used(small_clip: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    folder = copy_of(small_clip, tmp_path)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] |= {"hf_tokenizer_name": "beside", "pad_id": 0, "eos_id": 2}
    config["model_cfg"]["text_cfg"]["pool_type"] = "eos"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    words = ["<pad>", "<start>", "<end>", "<unk>", "red", "circle", "blue"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>"
    ).save_pretrained(folder)
    encoder = load(folder)
    assert encoder.tokenizer(["red circle"])[0].tolist() == [1, 4, 5, 2] + [0] * 12
    red, other, unknown = encoder.encode_text(["red circle", "blue circle", "circle red"])
    assert not np.allclose(red, other)
    assert not np.allclose(red, unknown)
    # Another vocabulary is another encoder.
    (folder / "tokenizer.json").write_text(
        (folder / "tokenizer.json").read_text().replace('"blue"', '"green"')
    )
    assert load(folder).digest != encoder.digest
