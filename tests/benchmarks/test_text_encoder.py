import numpy as np
import pytest

from benchmarks.text_encoder import FixedTextEncoder

TEXTS = ["a red circle", "a green star", "the sea"]


def test_known_texts_are_encoded_and_media_are_refused() -> None:
    vectors = np.eye(3, dtype=np.float32)
    encoder = FixedTextEncoder(TEXTS, vectors)
    np.testing.assert_array_equal(encoder.encode_text([TEXTS[2], TEXTS[0]]), vectors[[2, 0]])
    assert encoder.dim == 3
    with pytest.raises(KeyError):
        encoder.encode_text(["another"])
    with pytest.raises(ValueError, match="only texts"):
        encoder.encode_images(np.zeros((1, 2, 2, 3), np.uint8))
    with pytest.raises(ValueError, match="only texts"):
        encoder.encode_audio(np.zeros((1, 2), np.float32), np.ones(1))
