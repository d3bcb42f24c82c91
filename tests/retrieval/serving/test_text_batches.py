"""Texts that wait are encoded together, and each gets its own vector."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from retrieval.serving.text_batches import BatchedEncoder, as_encoder
from support.toy_encoder import ToyEncoder


class GatedEncoder(ToyEncoder):
    """Waits for `gate` before each batch, and notes its texts."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "gate", threading.Event())
        object.__setattr__(self, "batches", [])

    def encode_text(self, texts):
        self.gate.wait(20)
        self.batches.append(list(texts))
        if "bad" in texts:
            raise ValueError("bad text")
        return super().encode_text(texts)


def test_waiting_texts_are_one_batch_and_equal_ones_are_encoded_once() -> None:
    encoder = GatedEncoder()
    batcher = BatchedEncoder(encoder).batcher
    first = batcher.submit("first")
    while encoder.batches == [] and not encoder.gate.is_set() and not batcher._jobs.empty():
        pass
    futures = [batcher.submit(text) for text in ("red", "green", "red")]
    encoder.gate.set()
    rows = [future.result(20) for future in [first, *futures]]
    expected = ToyEncoder().encode_text(["first", "red", "green", "red"])
    assert np.array_equal(np.concatenate(rows), expected)
    assert sorted(text for batch in encoder.batches for text in batch) == ["first", "green", "red"]
    assert len(encoder.batches) <= 2
    batcher.close()


def test_a_known_text_is_not_encoded_again() -> None:
    encoder = GatedEncoder()
    encoder.gate.set()
    batched = as_encoder(BatchedEncoder(encoder))
    first, second = batched.encode_text(["red"]), batched.encode_text(["red"])
    assert np.array_equal(first, second)
    assert encoder.batches == [["red"]]


def test_a_bad_text_fails_alone() -> None:
    encoder = GatedEncoder()
    batcher = BatchedEncoder(encoder).batcher
    futures = {text: batcher.submit(text) for text in ("red", "bad", "green")}
    encoder.gate.set()
    assert futures["red"].result(20).shape == (1, 32)
    assert futures["green"].result(20).shape == (1, 32)
    with pytest.raises(ValueError, match="bad text"):
        futures["bad"].result(20)


def test_a_text_can_ask_for_a_batch_of_its_own() -> None:
    encoder = GatedEncoder()
    batcher = BatchedEncoder(encoder).batcher
    futures = [batcher.submit(text) for text in ("red", "green", "blue")]
    encoder.gate.set()
    for future in futures:
        future.result(20)
    together = next(batch for batch in encoder.batches if len(batch) > 1)
    batcher.submit(together[0], alone=True).result(20)
    assert encoder.batches[-1] == [together[0]]
    count = len(encoder.batches)
    batcher.submit(together[0], alone=True).result(20)
    batcher.submit(together[0]).result(20)
    assert len(encoder.batches) == count


def test_everything_else_is_the_encoders_own() -> None:
    encoder = ToyEncoder()
    batched = as_encoder(BatchedEncoder(encoder))
    assert (batched.spec, batched.dim, batched.media) == (encoder.spec, encoder.dim, encoder.media)
    assert batched.encode_text([]).shape == (0, 32)
    assert not hasattr(batched, "encode_clips")
