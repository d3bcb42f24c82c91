import pytest
import torch

from retrieval.search.cross_modal import PAD, CrossModal, CrossModalConfig, FirstStage, Read, Seen
from retrieval.search.tiny_reranker import IMAGE_MODEL

SMALL = CrossModalConfig("digest", dim=16, heads=2, text_layers=1, cross_layers=2)
CAPTIONS = ["a red circle", "a small blue star on white"]


@pytest.fixture(scope="module")
def stage() -> FirstStage:
    return FirstStage(IMAGE_MODEL, torch.device("cpu"))


@pytest.fixture(scope="module")
def model(stage: FirstStage) -> CrossModal:
    torch.manual_seed(0)
    model = CrossModal(SMALL, stage).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("eyes"):
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def pictures(stage: FirstStage, n: int) -> Seen:
    torch.manual_seed(1)
    return stage.see(torch.randint(0, 256, (n, 64, 64, 3), dtype=torch.uint8))


def captions(stage: FirstStage, texts: list[str]) -> Read:
    return stage.read(stage.tokenizer(texts))


def longer(read: Read) -> Read:
    """The same captions with padding that holds anything."""
    more = torch.randn(len(read.words), 3, read.words.shape[2])
    nothing = torch.zeros(len(read.real), 3, dtype=torch.bool)
    return Read(torch.cat([read.words, more], 1), torch.cat([read.real, nothing], 1), read.vectors)


@torch.inference_mode()
def test_pairs_do_not_know_of_each_other(model: CrossModal, stage: FirstStage) -> None:
    seen = model.survey(pictures(stage, 3))
    read = model.understand(captions(stage, CAPTIONS))
    each = Read(read.words.repeat(3, 1, 1), read.real.repeat(3, 1), read.vectors.repeat(3, 1))
    together = model(each, seen, captions=2)
    assert together.shape == (3, 2)
    for picture in range(3):
        for caption in range(2):
            one = slice(caption, caption + 1)
            alone = model(
                Read(read.words[one], read.real[one], read.vectors[one]),
                Seen(seen.places[picture : picture + 1], seen.vectors[picture : picture + 1]),
                captions=1,
            )
            torch.testing.assert_close(alone[0, 0], together[picture, caption])
    assert together.std() > 1e-3


@torch.inference_mode()
def test_padding_changes_nothing(model: CrossModal, stage: FirstStage) -> None:
    seen, read = model.survey(pictures(stage, 1)), captions(stage, CAPTIONS[:1])
    short, padded = (model(model.understand(r), seen, 1) for r in (read, longer(read)))
    torch.testing.assert_close(short, padded)


@torch.inference_mode()
def test_an_untaught_model_ranks_as_the_first_stage(stage: FirstStage) -> None:
    torch.manual_seed(0)
    fresh = CrossModal(SMALL, stage).eval()
    seen, read = pictures(stage, 5), captions(stage, CAPTIONS[:1])
    each = Read(read.words.repeat(5, 1, 1), read.real.repeat(5, 1), read.vectors.repeat(5, 1))
    logits = fresh(fresh.understand(each), fresh.survey(seen), captions=1)[:, 0]
    want = 0.5 * stage.scale * (seen.vectors @ read.vectors[0] - 0.6)
    torch.testing.assert_close(logits, want)


@torch.inference_mode()
def test_the_first_stage_is_the_bundled_image_model(stage: FirstStage) -> None:
    from retrieval.encoders.catalogue import load_encoder

    encoder = load_encoder("tiny-image", device="cpu")
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    wanted = torch.from_numpy(encoder.encode_images(pixels.numpy()))
    torch.testing.assert_close(stage.see(pixels).vectors, wanted, atol=1e-4, rtol=1e-4)
    tokens = stage.tokenizer(CAPTIONS)
    read = stage.read(tokens)
    assert read.words.shape[:2] == read.real.shape == (2, int((tokens != PAD).sum(1).max()))
    wanted = torch.from_numpy(encoder.encode_text(CAPTIONS))
    vectors = torch.nn.functional.normalize(read.vectors, dim=1)
    torch.testing.assert_close(vectors, wanted, atol=1e-4, rtol=1e-4)


def test_heads_that_do_not_fit_fail() -> None:
    with pytest.raises(ValueError, match="dim 10 is no multiple of heads 4"):
        CrossModalConfig("x", dim=10)
