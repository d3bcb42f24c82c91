import pytest
import torch

from retrieval.search.cross_modal import PAD, CrossModal, CrossModalConfig, FirstStage, Read, Seen
from retrieval.search.tiny_reranker import IMAGE_MODEL

SMALL = CrossModalConfig("digest", dim=16, heads=2, text_layers=1, cross_layers=2)


@pytest.fixture(scope="module")
def model() -> CrossModal:
    torch.manual_seed(0)
    model = CrossModal(SMALL, channels=24, width=12, scale=20.0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def pictures(n: int) -> Seen:
    torch.manual_seed(1)
    vectors = torch.nn.functional.normalize(torch.randn(n, 8), dim=1)
    return Seen(torch.randn(n, 64, 24), vectors)


def captions(lengths: list[int], padded: int) -> Read:
    torch.manual_seed(2)
    vectors = torch.nn.functional.normalize(torch.randn(len(lengths), 8), dim=1)
    real = torch.arange(padded) < torch.tensor(lengths)[:, None]
    words = torch.randn(len(lengths), 9, 12)[:, :padded]
    return Read(words, real, vectors)


@torch.inference_mode()
def test_pairs_do_not_know_of_each_other(model: CrossModal) -> None:
    seen, read = model.survey(pictures(3)), model.understand(captions([4, 6], 6))
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
def test_padding_changes_nothing(model: CrossModal) -> None:
    seen = model.survey(pictures(1))
    short, padded = (model(model.understand(captions([4], n)), seen, 1) for n in (4, 9))
    torch.testing.assert_close(short, padded)


@torch.inference_mode()
def test_an_untaught_model_ranks_as_the_first_stage() -> None:
    torch.manual_seed(0)
    fresh = CrossModal(SMALL, channels=24, width=12, scale=20.0).eval()
    seen, read = pictures(5), captions([6], 6)
    each = Read(*(part.repeat(5, *[1] * (part.ndim - 1)) for part in
                  (read.words, read.real, read.vectors)))  # fmt: skip
    logits = fresh(fresh.understand(each), fresh.survey(seen), captions=1)[:, 0]
    want = 0.5 * 20 * (seen.vectors @ read.vectors[0] - 0.6)
    torch.testing.assert_close(logits, want)


@torch.inference_mode()
def test_the_first_stage_is_the_bundled_image_model() -> None:
    from retrieval.encoders.catalogue import load_encoder

    stage, encoder = FirstStage(IMAGE_MODEL, torch.device("cpu")), load_encoder("tiny-image")
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    seen = stage.see(pixels)
    assert seen.places.shape == (2, 64, 256 + 512)
    wanted = torch.from_numpy(encoder.encode_images(pixels.numpy()))
    torch.testing.assert_close(seen.vectors, wanted, atol=1e-4, rtol=1e-4)
    tokens = stage.tokenizer(["a red circle", "a small blue star on white"])
    read = stage.read(tokens)
    assert read.words.shape[:2] == read.real.shape == (2, int((tokens != PAD).sum(1).max()))
    wanted = torch.from_numpy(encoder.encode_text(["a red circle", "a small blue star on white"]))
    torch.testing.assert_close(read.vectors, wanted, atol=1e-4, rtol=1e-4)


def test_heads_that_do_not_fit_fail() -> None:
    with pytest.raises(ValueError, match="dim 10 is no multiple of heads 4"):
        CrossModalConfig("x", dim=10)
